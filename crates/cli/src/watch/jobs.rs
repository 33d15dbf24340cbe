//! Jobs, however old the machine is that runs them.

use qplug_qmp::{Client, Error};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A job as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) id: String,
    /// QEMU's word: `mirror`, `backup` and so on.
    pub(crate) kind: String,
    /// QEMU's word: `running`, `ready`, `paused` and so on.
    pub(crate) status: String,
    /// How far it is, of the total. What each unit is, only the job knows; most often bytes.
    pub(crate) done: u64,
    pub(crate) total: u64,
    /// Why it failed.
    pub(crate) error: Option<String>,
}

impl Job {
    /// How far it is, from 0 to 100. QEMU's total grows while a guest writes.
    pub(crate) fn percent(&self) -> u8 {
        if self.total == 0 {
            return 0;
        }
        let percent = u128::from(self.done) * 100 / u128::from(self.total);
        u8::try_from(percent).unwrap_or(100).min(100)
    }
}

/// Which of QEMU's queries tells of jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Source {
    /// Not known yet.
    #[default]
    Unknown,
    /// `query-jobs`, since 3.0: changes are announced.
    Jobs,
    /// `query-block-jobs`, since 1.1: a job's start is not announced before 3.0.
    BlockJobs,
    /// The machine has no jobs.
    Nothing,
}

/// An entry of `query-jobs`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct JobInfo {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    status: String,
    current_progress: u64,
    total_progress: u64,
    error: Option<String>,
}

/// An entry of `query-block-jobs`; 1.2 has no `ready`.
#[derive(Debug, Deserialize)]
struct BlockJobInfo {
    device: String,
    #[serde(rename = "type")]
    kind: String,
    len: u64,
    offset: u64,
    #[serde(default)]
    paused: bool,
    #[serde(default)]
    ready: bool,
}

impl From<JobInfo> for Job {
    fn from(info: JobInfo) -> Self {
        Self {
            id: info.id,
            kind: info.kind,
            status: info.status,
            done: info.current_progress,
            total: info.total_progress,
            error: info.error,
        }
    }
}

impl From<BlockJobInfo> for Job {
    fn from(info: BlockJobInfo) -> Self {
        let status = match (info.paused, info.ready) {
            (true, _) => "paused",
            (false, true) => "ready",
            (false, false) => "running",
        };
        Self {
            id: info.device,
            kind: info.kind,
            status: status.to_owned(),
            done: info.offset,
            total: info.len,
            error: None,
        }
    }
}

/// Asks for the jobs, by the newest query that the machine has.
pub(crate) async fn ask(client: &Client, source: Source) -> Result<(Source, Vec<Job>), Error> {
    if matches!(source, Source::Unknown | Source::Jobs) {
        match list::<JobInfo>(client, "query-jobs").await {
            Err(error) if is_unknown(&error) => {}
            answer => return Ok((Source::Jobs, answer?)),
        }
    }
    if source != Source::Nothing {
        match list::<BlockJobInfo>(client, "query-block-jobs").await {
            Err(error) if is_unknown(&error) => {}
            answer => return Ok((Source::BlockJobs, answer?)),
        }
    }
    Ok((Source::Nothing, Vec::new()))
}

async fn list<T: DeserializeOwned + Into<Job>>(
    client: &Client,
    query: &str,
) -> Result<Vec<Job>, Error> {
    Ok(client.query::<Vec<T>>(query).await?.into_iter().map(Into::into).collect())
}

fn is_unknown(error: &Error) -> bool {
    matches!(error, Error::Refused { reply, .. } if reply.class == "CommandNotFound")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_new_queries_make_the_same_jobs() {
        let new = r#"{"current-progress": 25, "status": "running", "total-progress": 100,
            "type": "mirror", "id": "m"}"#;
        let old = r#"{"device": "m", "type": "mirror", "len": 100, "offset": 25, "speed": 0}"#;
        let new: Job = serde_json::from_str::<JobInfo>(new).unwrap().into();
        let old: Job = serde_json::from_str::<BlockJobInfo>(old).unwrap().into();
        assert_eq!(new, old);
        assert_eq!(new.percent(), 25);
    }

    #[test]
    fn a_job_of_nothing_and_one_that_overshoots_have_a_share() {
        let job = |done, total| Job {
            id: String::new(),
            kind: String::new(),
            status: String::new(),
            done,
            total,
            error: None,
        };
        assert_eq!([job(0, 0).percent(), job(5, 2).percent()], [0, 100]);
        assert_eq!(job(u64::MAX, u64::MAX).percent(), 100);
    }
}

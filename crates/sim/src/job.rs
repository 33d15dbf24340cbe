//! Block jobs, as far as they hold nodes: one that was given a speed runs until it is cancelled, one
//! without comes to its end soon.

use std::time::{Duration, Instant};

use qplug_proto::ErrorReply;
use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::config::Version;
use crate::graph::{Claim, NodeId, Permissions, User, UserId, UserKind};
use crate::machine::{Machine, Timer};
use crate::refusal::{Reply, generic, no_device_nor_node};

/// How long a job without a speed takes.
const TAKES: Duration = Duration::from_millis(20);

#[derive(Debug, Default)]
pub(crate) struct Jobs(Vec<Job>);

#[derive(Debug)]
struct Job {
    id: String,
    kind: &'static str,
    status: &'static str,
    speed: i64,
    len: u64,
    users: Vec<UserId>,
    /// Nodes that say they are busy.
    busy: Vec<NodeId>,
}

impl Machine {
    /// `blockdev-mirror`, `blockdev-backup`, `block-stream`.
    pub(crate) fn start_job(
        &mut self,
        kind: &'static str,
        mut arguments: Arguments,
        now: Instant,
    ) -> Reply {
        let id = arguments.text("job-id")?;
        let device = arguments.required_text("device")?;
        let target = match kind {
            "stream" => None,
            _ => Some(arguments.required_text("target")?),
        };
        if kind != "stream" {
            arguments.required_text("sync")?;
        }
        let speed = arguments.integer("speed")?.unwrap_or(0);
        // What else there is decides how it copies, and nothing that is simulated.
        drop(arguments.rest());
        let find = |machine: &Self, name: &str| {
            machine.graph.find(name).ok_or_else(|| no_device_nor_node(name, name))
        };
        let source = find(self, &device)?;
        let target = target.map(|target| find(self, &target)).transpose()?;
        if kind != "stream" && self.graph.is_below(source) {
            return Err(generic("Need a root block node"));
        }
        for node in [Some(source), target].into_iter().flatten() {
            self.check_not_busy(node)?;
        }
        let id = id.unwrap_or(device);
        if self.jobs.0.iter().any(|job| job.id == id) {
            return Err(generic(format!("Job ID '{id}' already in use")));
        }
        let users = self.job_users(kind, &id, source, target)?;
        let len = self.graph.node(source).map_or(0, |node| node.bytes);
        let busy = match kind {
            "backup" => target.into_iter().collect(),
            _ => vec![source],
        };
        let reason = format!("block device is in use by block job: {kind}");
        for node in &busy {
            if let Some(node) = self.graph.node_mut(*node) {
                node.blocked_by = Some(reason.clone());
            }
        }
        if speed == 0 {
            self.timers.at_host(now + TAKES, Timer::Job(id.clone()));
        }
        self.jobs.0.push(Job { id: id.clone(), kind, status: "running", speed, len, users, busy });
        for status in ["created", "running"] {
            self.tell_status(&id, status, now);
        }
        Ok(json!({}))
    }

    fn check_not_busy(&self, node: NodeId) -> Result<(), ErrorReply> {
        let Some(node) = self.graph.node(node) else { return Ok(()) };
        match &node.blocked_by {
            Some(reason) => Err(generic(format!("Node '{}' is busy: {reason}", node.name))),
            None => Ok(()),
        }
    }

    fn job_users(
        &mut self,
        kind: &str,
        id: &str,
        source: NodeId,
        target: Option<NodeId>,
    ) -> Result<Vec<UserId>, ErrorReply> {
        let mut users = Vec::new();
        let user = |node, kind, claim| User { node, label: id.to_owned(), kind, claim };
        let reads = Claim { needs: Permissions::READ, shares: Permissions::ALL };
        let writes = Claim { needs: Permissions::WRITE, shares: Permissions::ALL };
        users.push(self.graph.add_user(user(source, UserKind::Filter, reads))?);
        if let Some(target) = target {
            let of_target = if kind == "mirror" { UserKind::Job } else { UserKind::Filter };
            match self.graph.add_user(user(target, of_target, writes)) {
                Ok(added) => users.push(added),
                Err(error) => {
                    self.graph.remove_user(users[0]);
                    return Err(error);
                }
            }
        }
        Ok(users)
    }

    fn tell_status(&mut self, id: &str, status: &str, now: Instant) {
        self.emit("JOB_STATUS_CHANGE", Some(json!({"status": status, "id": id})), now);
    }

    /// A job came to its end; a mirror waits there for its `block-job-complete`.
    pub(crate) fn advance_job(&mut self, id: &str, now: Instant) {
        let Some(job) = self.jobs.0.iter_mut().find(|job| job.id == id) else { return };
        if job.kind != "mirror" {
            return self.end_job(id, "BLOCK_JOB_COMPLETED", now);
        }
        job.status = "ready";
        let data = job.event(job.len);
        self.tell_status(id, "ready", now);
        self.emit("BLOCK_JOB_READY", Some(data), now);
    }

    fn end_job(&mut self, id: &str, event: &str, now: Instant) {
        let Some(at) = self.jobs.0.iter().position(|job| job.id == id) else { return };
        let job = self.jobs.0.remove(at);
        self.timers.cancel(|timer| *timer == Timer::Job(id.to_owned()));
        for node in &job.busy {
            if let Some(node) = self.graph.node_mut(*node) {
                node.blocked_by = None;
            }
        }
        for user in &job.users {
            self.graph.remove_user(*user);
        }
        let is_done = event == "BLOCK_JOB_COMPLETED";
        let statuses: &[&str] = if is_done { &["waiting", "pending"] } else { &["aborting"] };
        for status in statuses {
            self.tell_status(id, status, now);
        }
        self.emit(event, Some(job.event(if is_done { job.len } else { 0 })), now);
        for status in ["concluded", "null"] {
            self.tell_status(id, status, now);
        }
    }

    /// `block-job-cancel` and `block-job-complete`.
    pub(crate) fn finish_job(
        &mut self,
        mut arguments: Arguments,
        cancel: bool,
        now: Instant,
    ) -> Reply {
        let id = arguments.required_text("device")?;
        arguments.any("force");
        arguments.finish()?;
        let Some(job) = self.jobs.0.iter().find(|job| job.id == id) else {
            let text = format!("Block job '{id}' not found");
            return Err(ErrorReply::new("DeviceNotActive", text));
        };
        if !cancel && job.status != "ready" {
            let text = "in state 'running' cannot accept command verb 'complete'";
            return Err(generic(format!("Job '{id}' {text}")));
        }
        // A mirror that was ready has made its copy, cancelled or not.
        let is_done = !cancel || job.status == "ready";
        let event = if is_done { "BLOCK_JOB_COMPLETED" } else { "BLOCK_JOB_CANCELLED" };
        self.end_job(&id, event, now);
        Ok(json!({}))
    }

    /// `job-cancel`, which knows other words for a job that there is not.
    pub(crate) fn job_cancel(&mut self, mut arguments: Arguments, now: Instant) -> Reply {
        let id = arguments.required_text("id")?;
        arguments.finish()?;
        if !self.jobs.0.iter().any(|job| job.id == id) {
            return Err(generic("Job not found"));
        }
        self.end_job(&id, "BLOCK_JOB_CANCELLED", now);
        Ok(json!({}))
    }

    pub(crate) fn query_block_jobs(&self) -> Value {
        let show = |job: &Job| {
            let mut shown = json!({
                "auto-finalize": true, "io-status": "ok", "device": job.id, "auto-dismiss": true,
                "busy": false, "len": job.len, "offset": 0, "status": job.status, "paused": false,
                "speed": job.speed, "ready": job.status == "ready", "type": job.kind,
            });
            if self.version >= Version::V10_0 && job.kind == "mirror" {
                shown["actively-synced"] = json!(false);
            }
            shown
        };
        self.jobs.0.iter().map(show).collect()
    }

    pub(crate) fn query_jobs(&self) -> Value {
        let show = |job: &Job| {
            json!({
                "current-progress": 0, "status": job.status, "total-progress": job.len,
                "type": job.kind, "id": job.id,
            })
        };
        self.jobs.0.iter().map(show).collect()
    }
}

impl Job {
    fn event(&self, offset: u64) -> Value {
        json!({
            "device": self.id, "len": self.len, "offset": offset, "speed": self.speed,
            "type": self.kind,
        })
    }
}

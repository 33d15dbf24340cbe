//! What uses a disk's nodes besides its device: block jobs and exports.

use std::collections::HashSet;

use serde::Deserialize;

use crate::name::DiskName;

/// Block jobs, from `query-block-jobs`.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct Jobs(Vec<Job>);

#[derive(Debug, Deserialize)]
struct Job {
    #[serde(rename = "type")]
    kind: String,
    /// The job's id, whatever its name says. Up to 2.6 it is the drive that the job works on, and later
    /// it still is that where the job was given none (`BlockJobInfo` in QEMU's schema).
    device: String,
}

/// Exports, from `query-block-exports` (QEMU 5.2).
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct Exports(Vec<Export>);

#[derive(Debug, Deserialize)]
struct Export {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "node-name")]
    node: String,
}

/// Which node lies on which, from `x-debug-query-block-graph` (QEMU 4.0), which alone tells what a
/// job works on.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Graph {
    nodes: Vec<Vertex>,
    edges: Vec<Edge>,
}

#[derive(Debug, Deserialize)]
struct Vertex {
    id: u64,
    #[serde(rename = "type")]
    kind: String,
    name: String,
}

#[derive(Debug, Deserialize)]
struct Edge {
    parent: u64,
    child: u64,
}

impl Jobs {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The job that works on the disk, in words.
    pub(crate) fn on(&self, disk: &DiskName, graph: &Graph) -> Option<String> {
        // Who shows no graph is old.
        let is_drive = |job: &Job| graph.nodes.is_empty() && job.device == disk.format_node();
        let is_on = |job: &&Job| is_drive(job) || graph.job_reaches(&job.device, disk);
        let job = self.0.iter().find(is_on)?;
        Some(format!("the block job {} ({})", job.device, job.kind))
    }
}

impl Exports {
    /// The export of one of the disk's nodes, in words.
    pub(crate) fn of(&self, disk: &DiskName) -> Option<String> {
        let nodes = [disk.limits_node(), disk.format_node(), disk.file_node()];
        let export = self.0.iter().find(|export| nodes.contains(&export.node))?;
        Some(format!("the {} export {}", export.kind, export.id))
    }
}

impl Graph {
    /// A job may hold our node through filters of its own.
    fn job_reaches(&self, job: &str, disk: &DiskName) -> bool {
        let ours = [disk.format_node(), disk.file_node()];
        let start = self.nodes.iter().find(|node| node.kind == "block-job" && node.name == job);
        let mut open: Vec<u64> = start.map(|node| node.id).into_iter().collect();
        let mut seen = HashSet::new();
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            if self.nodes.iter().any(|node| node.id == id && ours.contains(&node.name)) {
                return true;
            }
            open.extend(self.edges.iter().filter(|edge| edge.parent == id).map(|edge| edge.child));
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_found_through_its_filter() {
        let jobs: Jobs = serde_json::from_str(
            r#"[{"type": "backup", "device": "other"}, {"type": "mirror", "device": "k"}]"#,
        )
        .unwrap();
        let graph: Graph = serde_json::from_str(
            r##"{"nodes": [{"id": 1, "type": "block-job", "name": "k"},
                          {"id": 2, "type": "block-driver", "name": "#block7"},
                          {"id": 3, "type": "block-driver", "name": "data.format"},
                          {"id": 4, "type": "block-job", "name": "other"},
                          {"id": 5, "type": "block-driver", "name": "x.format"}],
                "edges": [{"parent": 1, "child": 2}, {"parent": 2, "child": 3}, {"parent": 3, "child": 2},
                          {"parent": 4, "child": 5}]}"##,
        )
        .unwrap();
        let on = |name: &str| jobs.on(&DiskName::new(name).unwrap(), &graph);
        assert_eq!(on("data").as_deref(), Some("the block job k (mirror)"));
        assert_eq!(on("x").as_deref(), Some("the block job other (backup)"));
        assert_eq!(on("y"), None);
    }

    #[test]
    fn an_export_of_either_node_counts() {
        let exports: Exports = serde_json::from_str(
            r#"[{"id": "e", "type": "nbd", "node-name": "data.file"},
                {"id": "l", "type": "nbd", "node-name": "limited.limits"}]"#,
        )
        .unwrap();
        let of = |name: &str| exports.of(&DiskName::new(name).unwrap());
        assert_eq!(of("data").as_deref(), Some("the nbd export e"));
        assert_eq!(of("limited").as_deref(), Some("the nbd export l"));
        assert_eq!(of("dat"), None);
    }
}

//! Nodes as the queries show them.

use serde_json::{Value, json};

use super::{Graph, Node, NodeId, UserKind};
use crate::config::Version;
use crate::snapshots::InnerSnapshot;

impl Graph {
    /// `query-named-block-nodes`: backing images nest unless it is asked for a `flat` list.
    pub(crate) fn show_nodes(&self, version: Version, flat: bool) -> Value {
        self.nodes().map(|(id, _)| self.show(id, version, !flat)).collect()
    }

    /// A node, as `query-named-block-nodes` and the `inserted` of `query-block` show it.
    pub(crate) fn show(&self, id: NodeId, version: Version, nested: bool) -> Value {
        let Some(node) = self.node(id) else { return Value::Null };
        if version < Version::V1_2 {
            let mut shown = json!({
                "ro": node.read_only, "drv": node.driver, "encrypted": false, "file": node.path,
            });
            if let Some(backing) = self.backing_of(id).and_then(|id| self.node(id)) {
                shown["backing_file"] = json!(backing.path);
            }
            return shown;
        }
        let mut shown = json!({
            "iops_rd": 0, "iops_wr": 0, "ro": node.read_only,
            "backing_file_depth": if nested { self.backing_depth(id) } else { 0 },
            "drv": node.driver, "iops": 0, "bps_wr": 0, "encrypted": node.driver == "luks",
            "bps": 0, "bps_rd": 0, "file": node.path,
        });
        if version < Version::V7_2 {
            shown["encryption_key_missing"] = json!(false);
        }
        if version >= Version::V2_5 {
            shown["detect_zeroes"] = json!(node.detect_zeroes);
            shown["image"] = self.show_image(id, node, version, nested);
            shown["node-name"] = json!(node.name);
            shown["write_threshold"] = json!(0);
            shown["cache"] = json!({
                "no-flush": node.cache.no_flush, "direct": node.cache.direct, "writeback": true,
            });
        }
        if version >= Version::V10_0 {
            shown["active"] = json!(true);
        }
        if let Some(backing) = self.backing_of(id).and_then(|id| self.node(id)) {
            shown["backing_file"] = json!(backing.path);
        }
        shown
    }

    fn show_image(&self, id: NodeId, node: &Node, version: Version, nested: bool) -> Value {
        let mut image = json!({
            "virtual-size": node.bytes, "filename": node.path, "format": node.driver,
            "actual-size": 0,
        });
        if node.opened.is_some() || node.driver == "raw" {
            image["dirty-flag"] = json!(false);
        }
        if version >= Version::V10_0 && node.driver == "file" {
            image["format-specific"] = json!({"type": "file", "data": {}});
        }
        let snapshots = self.snapshots_of(id).and_then(|id| self.node(id)).map(|it| &it.snapshots);
        if let Some(snapshots) = snapshots.filter(|snapshots| !snapshots.is_empty()) {
            image["snapshots"] = snapshots.iter().map(InnerSnapshot::show).collect();
        }
        if let Some(below) = self.backing_of(id)
            && let Some(backing) = self.node(below)
        {
            image["backing-filename"] = json!(backing.path);
            image["full-backing-filename"] = json!(backing.path);
            image["backing-filename-format"] = json!(backing.driver);
            if nested {
                image["backing-image"] = self.show_image(below, backing, version, nested);
            }
        }
        image
    }

    fn backing_of(&self, id: NodeId) -> Option<NodeId> {
        let node = self.node(id)?;
        node.children.iter().find(|edge| edge.role == "backing").map(|edge| edge.child)
    }

    fn backing_depth(&self, id: NodeId) -> u64 {
        std::iter::successors(self.backing_of(id), |id| self.backing_of(*id)).fold(0, |n, _| n + 1)
    }

    /// One node of `query-blockstats`, with what it lies on.
    pub(crate) fn show_stats(&self, id: NodeId, version: Version) -> Value {
        let Some(node) = self.node(id) else { return Value::Null };
        let mut shown = no_stats(version);
        if version >= Version::V2_5 {
            shown["node-name"] = json!(node.name);
        }
        shown["stats"]["rd_operations"] = json!(node.reads);
        shown["stats"]["rd_bytes"] = json!(node.reads * 512);
        for edge in &node.children {
            let below = match edge.role {
                "file" => "parent",
                "backing" => "backing",
                _ => continue,
            };
            shown[below] = self.show_stats(edge.child, version);
        }
        shown
    }

    /// `x-debug-query-block-graph`.
    pub(crate) fn show_graph(&self) -> Value {
        let mut nodes = Vec::new();
        let mut edges = Vec::new();
        let mut edge = |name: &str, parent: u64, child: u64, claim: super::Claim| {
            edges.push(json!({
                "name": name, "parent": parent, "child": child,
                "shared-perm": claim.shares.words(), "perm": claim.needs.words(),
            }));
        };
        for (id, user) in self.users() {
            let kind = match user.kind {
                UserKind::Device | UserKind::Drive | UserKind::Export => "block-backend",
                UserKind::Job | UserKind::Filter => "block-job",
            };
            nodes.push(json!({"name": user.label, "type": kind, "id": id}));
            edge("root", id, user.node, user.claim);
        }
        for (id, node) in self.nodes() {
            nodes.push(json!({"name": node.name, "type": "block-driver", "id": id}));
            for child in &node.children {
                edge(child.role, id, child.child, self.claim_below(id, child.role));
            }
        }
        json!({"edges": edges, "nodes": nodes})
    }
}

/// The counters of what nothing was read from.
pub(crate) fn no_stats(version: Version) -> Value {
    let mut stats = json!({
        "rd_operations": 0, "rd_bytes": 0, "wr_operations": 0, "wr_bytes": 0,
        "wr_highest_offset": 0,
    });
    if version >= Version::V1_2 {
        stats["flush_operations"] = json!(0);
    }
    if version >= Version::V2_5 {
        stats["failed_rd_operations"] = json!(0);
        stats["failed_wr_operations"] = json!(0);
    }
    json!({"stats": stats})
}

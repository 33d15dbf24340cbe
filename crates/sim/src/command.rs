//! The commands there are, and the queries that show all of the machine.

use std::time::Instant;

use qplug_proto::ErrorReply;
use qplug_qapi::introspection::recorded;
use serde_json::{Map, Value, json};

use crate::arguments::Arguments;
use crate::config::Version;
use crate::fdset::Descriptor;
use crate::graph::Blockdev;
use crate::machine::Machine;
use crate::refusal::{Reply, generic};
use crate::release::PACKAGE;

/// The commands that take no arguments.
const PLAIN: &[&str] = &[
    "cont",
    "migrate_cancel",
    "query-block",
    "query-block-exports",
    "query-block-jobs",
    "query-commands",
    "query-events",
    "query-fdsets",
    "query-iothreads",
    "query-jobs",
    "query-kvm",
    "query-migrate",
    "query-name",
    "query-pci",
    "query-qmp-schema",
    "query-status",
    "query-uuid",
    "query-version",
    "quit",
    "stop",
    "system_powerdown",
    "x-debug-query-block-graph",
];

impl Machine {
    /// Carries out a command whose time has come.
    pub(crate) fn dispatch(
        &mut self,
        command: &str,
        members: Map<String, Value>,
        fds: &mut Vec<Descriptor>,
        now: Instant,
    ) -> Reply {
        if !self.version.has_command(command) {
            return Err(ErrorReply::not_found(command));
        }
        let mut arguments = Arguments::new(members, self.version);
        match command {
            "blockdev-add" if self.version < Version::V2_9 => self.wrapped_blockdev_add(arguments),
            "x-blockdev-del" => self.x_blockdev_del(arguments),
            "__com.redhat_drive_add" => self.redhat_drive_add_members(arguments),
            "__com.redhat_drive_del" => self.redhat_drive_del(arguments),
            "blockdev-add" => {
                let blockdev = Blockdev::parse(arguments, self.version)?;
                let (graph, world) = self.graph_and_world();
                graph.add(&blockdev, &world)?;
                Ok(json!({}))
            }
            "blockdev-del" => {
                let name = arguments.required_text("node-name")?;
                arguments.finish()?;
                self.graph.delete(&name)?;
                self.collect_fdsets();
                Ok(json!({}))
            }
            "device_add" => self.device_add(arguments, now),
            "device_del" => self.device_del(arguments, now),
            "object-add" => self.objects.add(arguments, self.version),
            "object-del" => {
                let id = arguments.required_text("id")?;
                arguments.finish()?;
                let is_used = self.graph.uses_group(&id);
                self.objects.delete(&id, is_used)
            }
            "netdev_add" => self.netdev_add(arguments),
            "netdev_del" => self.netdev_del(arguments),
            "set_link" => self.set_link(arguments),
            "qom-list" => self.qom_list(arguments),
            "qom-get" => self.qom_get(arguments),
            "qom-set" => self.qom_set(arguments),
            "add-fd" => self.fdsets.add(arguments, fds),
            "remove-fd" => {
                let is_running = self.is_running();
                let Self { fdsets, graph, .. } = self;
                fdsets.remove(arguments, |set| graph.uses_fdset(set), is_running)
            }
            "blockdev-open-tray" => self.blockdev_tray(arguments, true, now),
            "blockdev-close-tray" => self.blockdev_tray(arguments, false, now),
            "blockdev-insert-medium" | "x-blockdev-insert-medium" => {
                self.blockdev_insert_medium(arguments)
            }
            "blockdev-remove-medium" | "x-blockdev-remove-medium" => {
                self.blockdev_remove_medium(arguments)
            }
            "blockdev-change-medium" => self.blockdev_change_medium(arguments, now),
            "change" => self.change(arguments, now),
            "eject" => self.eject(arguments, now),
            "block_resize" => self.block_resize(arguments),
            "transaction" => self.transaction(arguments, now),
            "blockdev-snapshot-internal-sync" => self.take_inner_snapshot(arguments, now),
            "blockdev-snapshot-delete-internal-sync" => self.delete_inner_snapshot(arguments),
            "block_set_io_throttle" => self.block_set_io_throttle(arguments),
            "blockdev-mirror" => self.start_job("mirror", arguments, now),
            "blockdev-backup" => self.start_job("backup", arguments, now),
            "block-stream" => self.start_job("stream", arguments, now),
            "block-job-cancel" => self.finish_job(arguments, true, now),
            "block-job-complete" => self.finish_job(arguments, false, now),
            "job-cancel" => self.job_cancel(arguments, now),
            "nbd-server-start" => self.nbd_server_start(arguments),
            "nbd-server-stop" => self.nbd_server_stop(arguments, now),
            "block-export-add" => self.block_export_add(arguments),
            "block-export-del" => self.block_export_del(arguments, now),
            "migrate" => self.migrate(arguments, now),
            "system_reset" => self.system_reset(arguments, now),
            "query-named-block-nodes" => {
                let flat = arguments.boolean("flat")?.unwrap_or(false);
                arguments.finish()?;
                Ok(self.graph.show_nodes(self.version, flat))
            }
            "query-blockstats" => {
                let nodes = arguments.boolean("query-nodes")?.unwrap_or(false);
                arguments.finish()?;
                Ok(self.query_blockstats(nodes))
            }
            "human-monitor-command" => self.human_monitor_command(arguments, now),
            _ if PLAIN.contains(&command) => {
                arguments.finish()?;
                self.dispatch_plain(command, now)
            }
            _ => Err(not_imitated(command, self.version)),
        }
    }

    /// The commands that take no arguments.
    fn dispatch_plain(&mut self, command: &str, now: Instant) -> Reply {
        Ok(match command {
            "cont" => return self.cont(now),
            "stop" => self.stop(now),
            "migrate_cancel" => return self.migrate_cancel(),
            "query-block" => self.query_block(),
            "query-block-exports" => self.query_block_exports(),
            "query-block-jobs" => self.query_block_jobs(),
            "query-jobs" => self.query_jobs(),
            "query-commands" => self.version.commands().map(|name| json!({"name": name})).collect(),
            "query-events" => self
                .version
                .events()
                .into_iter()
                .flatten()
                .map(|name| json!({"name": name}))
                .collect(),
            "query-fdsets" => self.fdsets.show(),
            "query-iothreads" => {
                let iothreads = self.objects.iter().filter(|object| object.kind == "iothread");
                iothreads.map(|object| json!({"id": object.id, "thread-id": 1})).collect()
            }
            "query-kvm" => json!({"enabled": false, "present": true}),
            "query-migrate" => self.query_migrate(),
            "query-name" => match &self.name {
                Some(name) => json!({"name": name}),
                None => json!({}),
            },
            "query-pci" => self.pci.show(self.is_numbered),
            "query-qmp-schema" => schema(self.version),
            "query-status" => self.query_status(),
            "query-uuid" => json!({"UUID": "00000000-0000-0000-0000-000000000000"}),
            "query-version" => {
                let (major, minor, micro) = self.version.numbers();
                let qemu = json!({"micro": micro, "minor": minor, "major": major});
                json!({"qemu": qemu, "package": PACKAGE})
            }
            "quit" => self.quit(now),
            "system_powerdown" => {
                self.power_down(now);
                json!({})
            }
            "x-debug-query-block-graph" => self.graph.show_graph(),
            other => return Err(ErrorReply::not_found(other)),
        })
    }

    fn collect_fdsets(&mut self) {
        let is_running = self.is_running();
        let Self { fdsets, graph, .. } = self;
        fdsets.collect(|set| graph.uses_fdset(set), is_running);
    }
}

/// What a command gets that the version has and the simulated machine has not.
fn not_imitated(command: &str, version: Version) -> ErrorReply {
    let text = format!("The simulated machine does not imitate '{command}'");
    if version >= Version::V1_2 {
        return generic(text);
    }
    // The class that says nothing; its usual text would say as little.
    ErrorReply::new("UndefinedError", text)
}

/// What `query-qmp-schema` tells: what was recorded, where it was, else the names of the commands, and
/// which block drivers there are.
fn schema(version: Version) -> Value {
    let recorded = match version {
        Version::V7_2 => recorded::V7_2,
        Version::V10_0 => recorded::V10_0,
        _ => return names(version),
    };
    serde_json::from_str(recorded).unwrap_or_default()
}

fn names(version: Version) -> Value {
    let drivers: Vec<_> = crate::graph::driver_names().collect();
    let members: Vec<_> = drivers.iter().map(|name| json!({"name": name})).collect();
    let commands = version.commands().map(|name| {
        let arguments = if name == "blockdev-add" { "1" } else { "any" };
        json!({"name": name, "meta-type": "command", "arg-type": arguments, "ret-type": "any"})
    });
    let types = [
        // What they take and return is not told: anything may be right.
        json!({"name": "any", "meta-type": "builtin", "json-type": "value"}),
        json!({"name": "1", "meta-type": "object", "tag": "driver", "members": [
            {"name": "driver", "type": "2"}, {"name": "node-name", "default": null, "type": "str"},
        ], "variants": drivers.iter().map(|name| json!({"case": name, "type": "any"})).collect::<Vec<_>>()}),
        json!({"name": "2", "meta-type": "enum", "values": drivers, "members": members}),
        json!({"name": "str", "meta-type": "builtin", "json-type": "string"}),
    ];
    commands.chain(types).collect()
}

//! The types that are generated, against real QEMUs: nothing of what they say is lost.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

use std::time::Duration;

use qplug_qapi::introspection::Schema;
use qplug_qapi::wire::{Object, Value, Wire};
use qplug_qapi::*;
use qplug_testbed::image::{Format, Image};
use qplug_testbed::monitor::Monitor;
use qplug_testbed::{Board, Machine, Qemu};
use serde_json::json;

/// What becomes of a reply that goes through its type.
type Through = fn(Value) -> Result<Value, Mismatch>;

fn through<C: Command>(reply: Value) -> Result<Value, Mismatch> {
    C::Reply::read(reply).map(|reply| reply.write())
}

macro_rules! queries {
    ($($query:ident),* $(,)?) => {
        &[$(($query::NAME, through::<$query> as Through)),*]
    };
}

/// Every query that any of the recorded QEMUs answers with no arguments.
const QUERIES: &[(&str, Through)] = queries![
    QueryAccelerators,
    QueryAcpiOspmStatus,
    QueryAudiodevs,
    QueryBalloon,
    QueryBlock,
    QueryBlockExports,
    QueryBlockJobs,
    QueryBlockstats,
    QueryChardev,
    QueryChardevBackends,
    QueryColoStatus,
    QueryCommandLineOptions,
    QueryCommands,
    QueryCpuDefinitions,
    QueryCpus,
    QueryCpusFast,
    QueryCryptodev,
    QueryCurrentMachine,
    QueryDirtyRate,
    QueryDisplayOptions,
    QueryDump,
    QueryDumpGuestMemoryCapability,
    QueryEvents,
    QueryFdsets,
    QueryFirmwareLog,
    QueryGicCapabilities,
    QueryHotpluggableCpus,
    QueryHvBalloonStatusReport,
    QueryIothreads,
    QueryJobs,
    QueryKvm,
    QueryMachines,
    QueryMemdev,
    QueryMemoryDevices,
    QueryMemorySizeSummary,
    QueryMice,
    QueryMigrate,
    QueryMigrateCacheSize,
    QueryMigrateCapabilities,
    QueryMigrateParameters,
    QueryMigrationthreads,
    QueryName,
    QueryNamedBlockNodes,
    QueryPci,
    QueryPrManagers,
    QueryQmpSchema,
    QueryReplay,
    QueryRxFilter,
    QueryS390xCpuPolarization,
    QuerySev,
    QuerySevCapabilities,
    QuerySevLaunchMeasure,
    QuerySgx,
    QuerySgxCapabilities,
    QuerySpice,
    QueryStatsSchemas,
    QueryStatus,
    QueryTarget,
    QueryTpm,
    QueryTpmModels,
    QueryTpmTypes,
    QueryUuid,
    QueryVcpuDirtyLimit,
    QueryVersion,
    QueryVmGenerationId,
    QueryVnc,
    QueryVncServers,
    QueryXenReplicationStatus,
    QueryYank,
    XQueryInterruptControllers,
    XQueryIrq,
    XQueryJit,
    XQueryNuma,
    XQueryOpcount,
    XQueryProfile,
    XQueryRamblock,
    XQueryRdma,
    XQueryRoms,
    XQueryUsb,
    XQueryVirtio
];

/// How long a job may take to get going.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// Gives a typed command that has to succeed.
fn run<C: Command>(monitor: &mut Monitor, command: C) -> C::Reply {
    let reply = monitor.demand(C::NAME, command.write()).unwrap();
    C::Reply::read(reply).unwrap()
}

/// A machine with some of everything that queries tell of, made by typed commands.
fn furnished(qemu: &Qemu) -> Machine {
    let builder = Machine::builder(qemu, Board::Q35).ports(4).scsi_cdrom().cdrom().usb();
    let mut machine = builder.halted().unwrap();
    let folder = machine.folder().to_owned();
    let base = Image::create(&folder, "base.qcow2", Format::Qcow2, 16 << 20).unwrap();
    base.overlay(&folder, "top.qcow2").unwrap();
    Image::create(&folder, "cd.img", Format::Raw, 1 << 20).unwrap();
    Image::create(&folder, "source.img", Format::Raw, 1 << 20).unwrap();
    Image::create(&folder, "target.img", Format::Raw, 1 << 20).unwrap();
    let monitor = &mut machine.oracle;
    add_disk(monitor);
    add_medium(monitor);
    add_export(monitor);
    add_job(monitor);
    machine
}

fn file(name: &str) -> BlockdevRef {
    let file = BlockdevOptionsFile::new(name);
    Box::new(BlockdevOptions::new(BlockdevOptionsDriver::File(file))).into()
}

/// A disk over an overlay, with a bitmap and an iothread.
fn add_disk(monitor: &mut Monitor) {
    let iothread = ObjectAddQomType::Iothread(ObjectAddIothread::default());
    run(monitor, ObjectAdd::new("io0", iothread));
    let top = BlockdevOptionsQcow2::new(file("top.qcow2"));
    let node_name = Some("data".to_owned());
    let driver = BlockdevOptionsDriver::Qcow2(top);
    run(monitor, BlockdevAdd { node_name, ..BlockdevAdd::new(driver) });
    let mut properties = Object::new();
    properties.insert("drive".to_owned(), json!("data"));
    properties.insert("iothread".to_owned(), json!("io0"));
    properties.insert("serial".to_owned(), json!("data"));
    let (bus, id) = (Some("rp0".to_owned()), Some("data".to_owned()));
    run(monitor, DeviceAdd { bus, id, properties, ..DeviceAdd::new("virtio-blk-pci") });
    let granularity = Some(Int::from(65536));
    run(
        monitor,
        BlockDirtyBitmapAdd { granularity, ..BlockDirtyBitmapAdd::new("data", "changes") },
    );
}

fn add_medium(monitor: &mut Monitor) {
    let (node_name, read_only) = (Some("medium".to_owned()), Some(true));
    let driver = BlockdevOptionsDriver::Raw(BlockdevOptionsRaw::new(file("cd.img")));
    run(monitor, BlockdevAdd { node_name, read_only, ..BlockdevAdd::new(driver) });
    let id = || Some("cd0".to_owned());
    run(monitor, BlockdevOpenTray { id: id(), ..BlockdevOpenTray::default() });
    run(monitor, BlockdevInsertMedium { id: "cd0".to_owned(), node_name: "medium".to_owned() });
    run(monitor, BlockdevCloseTray { id: id(), ..BlockdevCloseTray::default() });
}

fn add_export(monitor: &mut Monitor) {
    let socket = json!({"type": "unix", "data": {"path": "nbd.sock"}});
    let addr = SocketAddressLegacy::read(socket).unwrap();
    run(monitor, NbdServerStart::new(addr));
    let nbd = BlockExportAddType::Nbd(BlockExportAddNbd::default());
    run(monitor, BlockExportAdd::new("export0", "medium", nbd));
}

/// A mirror that stays ready, and one disk more to mirror.
fn add_job(monitor: &mut Monitor) {
    for (name, image) in [("source", "source.img"), ("target", "target.img")] {
        let node_name = Some(name.to_owned());
        let driver = BlockdevOptionsDriver::Raw(BlockdevOptionsRaw::new(file(image)));
        run(monitor, BlockdevAdd { node_name, ..BlockdevAdd::new(driver) });
    }
    let job_id = Some("job0".to_owned());
    let mirror = BlockdevMirror::new("source", "target", MirrorSyncMode::Full);
    run(monitor, BlockdevMirror { job_id, ..mirror });
    monitor.wait_event("BLOCK_JOB_READY", READY_WITHIN).unwrap();
}

/// Numbers are the same when they are equal: `5` and `5.0`.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, it)| other.get(name).is_some_and(|at| is_same(it, at)))
        }
        (Value::Number(one), Value::Number(other)) if one.is_f64() || other.is_f64() => {
            one.as_f64() == other.as_f64()
        }
        _ => one == other,
    }
}

#[test]
fn every_query_decodes_with_nothing_lost() {
    for qemu in Qemu::of_all_ages("every_query_decodes_with_nothing_lost") {
        let mut machine = furnished(&qemu);
        let schema = machine.oracle.demand("query-qmp-schema", json!({})).unwrap();
        let schema = Schema::from_value(&schema).unwrap();
        let mut answered = 0;
        for command in schema.commands() {
            let name = command.name.strip_prefix("x-").unwrap_or(&command.name);
            let takes = &schema.object(command.arguments).unwrap().members;
            if !name.starts_with("query-") || takes.iter().any(|member| !member.optional) {
                continue;
            }
            let query = QUERIES.iter().find(|(name, _)| *name == command.name);
            let (name, through) = query.unwrap_or_else(|| panic!("no type for {}", command.name));
            match machine.oracle.execute(name, json!({})) {
                Ok(reply) => {
                    let again = through(reply.clone());
                    let again = again.unwrap_or_else(|error| panic!("{name}: {error}\n{reply:#}"));
                    assert!(is_same(&again, &reply), "{name}\n{reply:#}\n{again:#}");
                    answered += 1;
                }
                Err(error) => println!("{} {name}: {}", qemu.version, error["desc"]),
            }
        }
        println!("{}: {answered} queries answered", qemu.version);
        assert!(answered > 40, "{}: only {answered}", qemu.version);
    }
}

#[test]
fn a_typed_reply_has_what_the_machine_has() {
    for qemu in Qemu::of_all_ages("a_typed_reply_has_what_the_machine_has") {
        let mut machine = furnished(&qemu);
        let monitor = &mut machine.oracle;
        let blocks = run(monitor, QueryBlock::default());
        let data = blocks
            .iter()
            .find(|block| block.qdev.as_deref() == Some("/machine/peripheral/data/virtio-backend"));
        let inserted = data.unwrap().inserted.as_ref().unwrap();
        assert_eq!(inserted.node_name.as_deref(), Some("data"));
        assert_eq!(inserted.image.virtual_size, 16 << 20);
        assert_eq!(inserted.dirty_bitmaps.as_ref().unwrap()[0].name.as_deref(), Some("changes"));
        let jobs = run(monitor, QueryJobs);
        assert_eq!((jobs[0].id.as_str(), &jobs[0].status), ("job0", &JobStatus::Ready));
        assert_eq!(jobs[0].r#type, JobType::Mirror);
        let exports = run(monitor, QueryBlockExports);
        assert_eq!(
            (exports[0].id.as_str(), &exports[0].r#type),
            ("export0", &BlockExportType::Nbd)
        );
        assert_eq!(run(monitor, QueryIothreads)[0].id, "io0");
        assert_eq!(run(monitor, QueryVersion).qemu.major, qemu.version.major);
        assert_eq!(run(monitor, QueryStatus).status, RunState::Prelaunch);
    }
}

#[test]
fn events_are_what_they_were() {
    for qemu in Qemu::of_all_ages("events_are_what_they_were") {
        let mut machine = furnished(&qemu);
        run(&mut machine.oracle, Cont);
        run(&mut machine.oracle, SystemReset);
        machine.oracle.wait_event("RESET", READY_WITHIN).unwrap();
        run(&mut machine.oracle, Stop);
        machine.oracle.wait_event("STOP", READY_WITHIN).unwrap();
        let mut names = Vec::new();
        for event in machine.oracle.events() {
            let name = event["event"].as_str().unwrap();
            let data = event.get("data").and_then(Value::as_object).cloned().unwrap_or_default();
            let event = Event::read(name, data.clone()).unwrap();
            assert!(!matches!(event, Event::Other { .. }), "{name}");
            assert_eq!((event.name(), event.data()), (name, data));
            names.push(name.to_owned());
        }
        assert!(names.iter().any(|name| name == "JOB_STATUS_CHANGE"), "{names:?}");
        assert!(names.iter().any(|name| name == "RESUME"), "{names:?}");
    }
}

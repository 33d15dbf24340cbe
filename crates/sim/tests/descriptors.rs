//! Descriptors that clients pass in. The testbed's monitor cannot pass any, so what is expected here
//! was seen once on QEMU 7.2.22 and 10.0.2, and written down.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]

use std::time::Instant;

use qplug_sim::{Config, Descriptor, Image, Machine, Start, Version};
use serde_json::{Value, json};

struct Run(Machine, Instant);

impl Run {
    fn new(version: Version) -> Self {
        let now = Instant::now();
        let config = Config::q35(1)
            .start(Start::Prelaunch)
            .version(version)
            .image("/b", Image::raw(1 << 20));
        Self(Machine::new(config, now), now)
    }

    fn with_fd(&mut self, arguments: Value, is_read_only: bool) -> Result<Value, String> {
        let mut fds = vec![Descriptor { path: "/b".to_owned(), is_read_only }];
        let answer = self.0.execute("add-fd", Some(&arguments), &mut fds, self.1);
        answer.map_err(|error| error.desc)
    }

    fn say(&mut self, command: &str, arguments: Value) -> Result<Value, String> {
        let answer = self.0.execute(command, Some(&arguments), &mut Vec::new(), self.1);
        answer.map_err(|error| error.desc)
    }

    fn open(&mut self, set: &str, read_only: bool) -> Result<Value, String> {
        let filename = format!("/dev/fdset/{set}");
        let node = json!({"driver": "file", "node-name": "n", "filename": filename, "read-only": read_only});
        self.say("blockdev-add", node)
    }

    fn sets(&mut self) -> Value {
        self.say("query-fdsets", json!({})).unwrap()
    }
}

#[test]
fn a_set_lasts_as_long_as_it_is_open() {
    for version in [Version::V7_2, Version::V10_0] {
        let mut run = Run::new(version);
        assert!(run.say("add-fd", json!({})).unwrap_err().contains("SCM_RIGHTS"));
        assert!(run.with_fd(json!({"fdset-id": -1}), false).unwrap_err().contains("non-negative"));
        let added = run.with_fd(json!({"opaque": "x"}), false).unwrap();
        assert_eq!(added, json!({"fd": 11, "fdset-id": 0}));
        let whole = json!([{"fds": [{"fd": 11, "opaque": "x"}], "fdset-id": 0}]);
        assert_eq!(run.sets(), whole);
        run.open("0", false).unwrap();
        run.say("remove-fd", json!({"fdset-id": 0})).unwrap();
        // QEMU 7.2 forgets nothing while the machine stands still.
        let removed = json!([{"fds": [], "fdset-id": 0}]);
        assert_eq!(run.sets(), if version == Version::V7_2 { whole } else { removed });
        run.say("blockdev-del", json!({"node-name": "n"})).unwrap();
        run.say("cont", json!({})).unwrap();
        let missing = run.say("remove-fd", json!({"fdset-id": 0}));
        assert_eq!(missing.is_err(), version == Version::V10_0);
        assert_eq!(run.sets(), json!([]));
    }
}

#[test]
fn a_descriptor_is_opened_the_way_it_was_made() {
    for (version, no_set, no_fd) in [
        (Version::V7_2, "flags 2: No such file or directory", "flags 2: Permission denied"),
        (Version::V10_0, "Failed to find fdset /dev/fdset/9", "matching flags=0x2"),
    ] {
        let mut run = Run::new(version);
        run.with_fd(json!({"fdset-id": 3}), true).unwrap();
        assert!(run.open("9", false).unwrap_err().contains(no_set));
        assert!(run.open("3", false).unwrap_err().contains(no_fd));
        run.open("3", true).unwrap();
        let wrong = run.say("remove-fd", json!({"fdset-id": 3, "fd": 99})).unwrap_err();
        assert_eq!(wrong, "File descriptor named 'fdset-id:3, fd:99' not found");
    }
}

#[test]
fn what_is_not_open_goes_with_the_last_client() {
    let mut run = Run::new(Version::V10_0);
    run.with_fd(json!({}), false).unwrap();
    run.with_fd(json!({}), false).unwrap();
    run.open("1", false).unwrap();
    run.0.handle_disconnect();
    assert_eq!(run.sets(), json!([{"fds": [{"fd": 12}], "fdset-id": 1}]));
}

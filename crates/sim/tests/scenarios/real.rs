//! The real side: a QEMU of the testbed.

use std::time::Duration;

use qplug_testbed::Machine;
use serde_json::Value;

use super::script::Side;

/// How long an event may take: a native port's unplug takes 6 s.
const HEARD_WITHIN: Duration = Duration::from_secs(20);

pub(crate) struct Real<'a>(pub(crate) &'a mut Machine);

impl Side for Real<'_> {
    fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value, Value> {
        // Where the machine's folder is differs from run to run.
        let folder = format!("{}/", self.0.folder().display());
        let plain =
            |value: Value| serde_json::from_str(&value.to_string().replace(&folder, "")).unwrap();
        self.0.oracle.execute(command, arguments.clone()).map(plain).map_err(plain)
    }

    fn hear(&mut self, event: &str) -> Option<Value> {
        let heard = self.0.oracle.wait_event(event, HEARD_WITHIN).ok()?;
        Some(heard["data"].clone())
    }

    fn wait(&mut self, time: Duration) {
        std::thread::sleep(time);
    }
}

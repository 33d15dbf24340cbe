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
        self.0.oracle.execute(command, arguments.clone())
    }

    fn hear(&mut self, event: &str) -> Option<Value> {
        let heard = self.0.oracle.wait_event(event, HEARD_WITHIN).ok()?;
        Some(heard["data"].clone())
    }

    fn wait(&mut self, time: Duration) {
        std::thread::sleep(time);
    }
}

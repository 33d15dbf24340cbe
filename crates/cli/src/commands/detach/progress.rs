//! What is said while the guest is waited for.

use std::convert::Infallible;
use std::time::Duration;

use qplug_hotplug::{DiskName, Machine, Which};

use crate::output::Output;

/// A wait that is over sooner needs no progress line.
const PROGRESS_AFTER: Duration = Duration::from_millis(400);

/// A wait that is over sooner needs no explanation. ACPI takes a tenth of a second, and on a busy
/// host not much more.
const EXPLAIN_AFTER: Duration = Duration::from_millis(600);

/// How many names are said, and how many disks are asked about.
const SHOWN: usize = 8;

/// Says that the guest is waited for, and why it takes long, where that is known.
pub(super) async fn show(
    machine: &Machine,
    which: &Which,
    timeout: Duration,
    output: &Output,
) -> Infallible {
    tokio::time::sleep(PROGRESS_AFTER).await;
    let limit = timeout.as_secs_f32();
    let text = format!("waiting for the guest to let go of {} (at most {limit} s)", words(which));
    let line = output.progress(&text);
    tokio::time::sleep(EXPLAIN_AFTER).await;
    if let Some(native) = native(machine, which).await {
        drop(line);
        let text = format!(
            "{text}; {native} sits in a native hot-plug port, where Linux takes 6.3 s to let go"
        );
        let _line = output.progress(&text);
        std::future::pending().await
    } else {
        let _line = line;
        std::future::pending().await
    }
}

/// The first of these disks in a native hot-plug port. All ports of a machine are of one kind, so
/// that few are asked about.
async fn native(machine: &Machine, which: &Which) -> Option<DiskName> {
    let Which::Named(names) = which else { return None };
    for name in names.iter().take(SHOWN) {
        // Only a remark hangs on it.
        if machine.is_native(name).await.unwrap_or(false) {
            return Some(name.clone());
        }
    }
    None
}

/// The disks, in a few words.
pub(super) fn words(which: &Which) -> String {
    match which {
        Which::All => "all disks".to_owned(),
        Which::Named(names) => {
            let shown = names.iter().take(SHOWN).map(ToString::to_string).collect::<Vec<_>>();
            let more = match names.len().saturating_sub(SHOWN) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!("{}{more}", shown.join(", "))
        }
    }
}

//! Events that QEMU limits to one a second (`monitor_qapi_event_conf`).
//!
//! The first one passes. Those that come within a second of it are held back, only the latest of
//! them is kept, and it is sent when the second is over, which begins another second.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::message::Event;

/// How long the next event of a kind is held back.
const PERIOD: Duration = Duration::from_secs(1);

/// How many kinds may be held back at once; more pass unlimited.
const MAX_KINDS: usize = 1024;

/// The limited events. Those with a member named are limited apart for each of its values.
const LIMITED: &[(&str, Option<&str>)] = &[
    ("BALLOON_CHANGE", None),
    ("HV_BALLOON_STATUS_REPORT", None),
    ("MEMORY_DEVICE_SIZE_CHANGE", Some("qom-path")),
    ("QUORUM_FAILURE", None),
    ("QUORUM_REPORT_BAD", Some("node-name")),
    ("RTC_CHANGE", None),
    ("VSERPORT_CHANGE", Some("id")),
    ("WATCHDOG", None),
];

#[derive(Debug, Default)]
pub(super) struct Throttle {
    /// By event and by the value that it is limited by.
    kinds: BTreeMap<(&'static str, String), Held>,
}

#[derive(Debug)]
struct Held {
    until: Instant,
    latest: Option<String>,
}

impl Throttle {
    /// The event's text if it may be sent now; else it is kept.
    pub(super) fn admit(&mut self, event: &Event, text: String, now: Instant) -> Option<String> {
        let Some((name, member)) = LIMITED.iter().find(|(name, _)| *name == event.name) else {
            return Some(text);
        };
        let kind = (*name, member.map(|member| value_of(event, member)).unwrap_or_default());
        if let Some(held) = self.kinds.get_mut(&kind) {
            held.latest = Some(text);
            return None;
        }
        if self.kinds.len() < MAX_KINDS {
            self.kinds.insert(kind, Held { until: now + PERIOD, latest: None });
        }
        Some(text)
    }

    /// The events whose second is over.
    pub(super) fn due(&mut self, now: Instant) -> Vec<String> {
        let mut due = Vec::new();
        self.kinds.retain(|_, held| {
            if held.until > now {
                return true;
            }
            let latest = held.latest.take();
            held.until = now + PERIOD;
            let again = latest.is_some();
            due.extend(latest);
            again
        });
        due
    }

    /// When something is due next.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.kinds.values().map(|held| held.until).min()
    }
}

fn value_of(event: &Event, member: &str) -> String {
    let data = event.data.as_ref().and_then(|data| serde_json::from_str::<Value>(data.get()).ok());
    data.and_then(|data| data.get(member).map(ToString::to_string)).unwrap_or_default()
}

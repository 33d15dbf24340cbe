//! A client and a server back to back, in a time that stands still until it is stepped.
#![allow(dead_code, reason = "each of the tests uses a part of it")]

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use qplug_proto::{
    Client, CommandId, Dialect, ErrorReply, Event, ExecuteError, Greeting, Incoming, ProtocolError,
    QemuVersion, Request, RequestId, Server, Timestamp,
};
use serde_json::value::RawValue;

/// Into which pieces a stream is cut on its way.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cut {
    /// None: what was sent at once arrives at once.
    Nowhere,
    /// Two, at this byte of the stream.
    At(usize),
    /// One a byte.
    Everywhere,
}

/// One direction.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    /// Sent, not arrived.
    pub(crate) bytes: VecDeque<u8>,
    /// How many arrived.
    pub(crate) arrived: usize,
}

impl Wire {
    /// The next bytes to arrive.
    pub(crate) fn take(&mut self, cut: Cut) -> Vec<u8> {
        let count = match cut {
            Cut::At(at) if at > self.arrived => self.bytes.len().min(at - self.arrived),
            Cut::Nowhere | Cut::At(_) => self.bytes.len(),
            Cut::Everywhere => self.bytes.len().min(1),
        };
        self.take_bytes(count)
    }

    pub(crate) fn take_bytes(&mut self, count: usize) -> Vec<u8> {
        let count = count.min(self.bytes.len());
        self.arrived += count;
        self.bytes.drain(..count).collect()
    }
}

/// Both ends and what is between them.
pub(crate) struct Link {
    pub(crate) client: Client,
    pub(crate) server: Server,
    pub(crate) now: Instant,
    pub(crate) cut: Cut,
    pub(crate) to_server: Wire,
    pub(crate) to_client: Wire,
    /// What the client was told, in words.
    pub(crate) heard: Vec<String>,
    /// What the server was asked, in words.
    pub(crate) asked: Vec<String>,
    /// Commands given, and their names.
    pub(crate) given: Vec<(CommandId, String)>,
    /// Requests that wait to be let go.
    pub(crate) held: Vec<Request>,
    /// All that left the client.
    pub(crate) sent: Vec<u8>,
    /// Commands given up on.
    pub(crate) cancelled: BTreeSet<String>,
    /// Whether other bytes came between.
    pub(crate) is_disturbed: bool,
    /// How the client found the protocol broken.
    pub(crate) broken: Option<ProtocolError>,
}

impl Link {
    pub(crate) fn new(dialect: Dialect, cut: Cut) -> Self {
        let server = match dialect {
            Dialect::Agent { .. } => Server::agent(),
            Dialect::Qmp | Dialect::QmpWithOob => Server::new(Greeting {
                version: QemuVersion { major: 10, minor: 0, micro: 2 },
                package: "Debian".to_owned(),
                capabilities: vec!["oob".to_owned()],
            }),
        };
        Self {
            client: Client::new(dialect, None),
            server,
            now: Instant::now(),
            cut,
            to_server: Wire::default(),
            to_client: Wire::default(),
            heard: Vec::new(),
            asked: Vec::new(),
            given: Vec::new(),
            held: Vec::new(),
            sent: Vec::new(),
            cancelled: BTreeSet::new(),
            is_disturbed: false,
            broken: None,
        }
    }

    /// Gives a command that is known by its name from then on.
    pub(crate) fn execute(&mut self, name: &str, within_ms: Option<u64>) -> CommandId {
        let deadline = within_ms.map(|within| self.now + Duration::from_millis(within));
        let id = self.client.execute(name, None::<&()>, deadline);
        self.keep(name, id).unwrap()
    }

    pub(crate) fn execute_oob(&mut self, name: &str) -> Result<CommandId, ExecuteError> {
        let id = self.client.execute_oob(name, None::<&()>, None);
        self.keep(name, id)
    }

    fn keep(
        &mut self,
        name: &str,
        id: Result<CommandId, ExecuteError>,
    ) -> Result<CommandId, ExecuteError> {
        let id = id?;
        self.given.push((id, name.to_owned()));
        Ok(id)
    }

    /// Lets time pass for both ends, and all bytes arrive.
    pub(crate) fn step(&mut self, ms: u64) {
        self.pass(ms);
        self.settle();
    }

    /// Lets time pass for both ends.
    pub(crate) fn pass(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
        self.server.handle_timeout(self.now);
        self.client.handle_timeout(self.now).unwrap();
        self.hear();
    }

    /// Moves bytes until nothing moves any more.
    pub(crate) fn settle(&mut self) {
        loop {
            self.collect();
            let mut moved = false;
            if self.server.wants_input() {
                let bytes = self.to_server.take(self.cut);
                moved |= !bytes.is_empty();
                self.server.handle_input(&bytes);
            }
            moved |= self.serve();
            self.collect();
            let bytes = self.to_client.take(self.cut);
            moved |= !bytes.is_empty();
            self.arrive(&bytes);
            if !moved {
                return;
            }
        }
    }

    /// What both ends have to send goes on its way.
    pub(crate) fn collect(&mut self) {
        let bytes = self.client.poll_transmit().to_vec();
        self.client.handle_transmitted(bytes.len());
        self.sent.extend(&bytes);
        self.to_server.bytes.extend(bytes);
        self.to_client.bytes.extend(self.server.poll_transmit().unwrap_or_default());
    }

    /// Bytes arrive at the client.
    pub(crate) fn arrive(&mut self, bytes: &[u8]) {
        if self.broken.is_none() {
            self.broken = self.client.handle_input(bytes).err();
        }
        self.hear();
    }

    /// Reads what the client has learned.
    pub(crate) fn hear(&mut self) {
        while let Some(incoming) = self.client.poll_incoming() {
            let name = |id: CommandId| {
                let given = self.given.iter().find(|(given, _)| *given == id);
                given.map(|(_, name)| name.clone()).unwrap()
            };
            self.heard.push(match incoming {
                Incoming::Greeting(greeting) => format!("greeting of {}", greeting.version),
                Incoming::Synchronized => "in step".to_owned(),
                Incoming::Reply { id, result: Ok(value) } => {
                    format!("{} returned {}", name(id), start(value.get()))
                }
                Incoming::Reply { id, result: Err(error) } => {
                    format!("{} refused {error}", name(id))
                }
                Incoming::Unknown { id, why } => format!("{} unknown {why:?}", name(id)),
                Incoming::NotSent(id) => format!("{} not sent", name(id)),
                Incoming::Event(event) => {
                    let data = event.data.as_ref().map(|data| data.get()).unwrap_or_default();
                    format!("event {} {data}", event.name)
                }
                Incoming::Unattributed(error) => format!("unattributed {error}"),
            });
        }
    }

    /// Carries out what the server was asked; true when there was something.
    pub(crate) fn serve(&mut self) -> bool {
        let mut any = false;
        while let Some(request) = self.server.poll_request() {
            any = true;
            let oob = if request.out_of_band { " out of band" } else { "" };
            self.asked.push(format!("{}{oob}", request.command));
            match request.command.as_str() {
                name if name.starts_with("hold") => self.held.push(request),
                "event-before" => {
                    self.emit("RESUME", None);
                    self.reply(request.id, "1");
                }
                "event-after" => {
                    self.reply(request.id, "2");
                    self.emit("STOP", Some("{\"why\": [1.50]}"));
                }
                "big" => self.reply(request.id, &format!("\"{}\"", "}\\\"{".repeat(BIG / 4))),
                "fail" => self.server.reply(request.id, Err(ErrorReply::new("GenericError", "é"))),
                name => self.reply(request.id, &format!("{{\"did\": \"{name}\"}}")),
            }
        }
        any
    }

    pub(crate) fn reply(&mut self, id: RequestId, value: &str) {
        self.server.reply(id, Ok(raw(value)));
    }

    /// Lets the oldest held request go, and all bytes arrive.
    pub(crate) fn release(&mut self) {
        self.let_go();
        self.settle();
    }

    /// Lets the oldest held request go, if there is one.
    pub(crate) fn let_go(&mut self) {
        if !self.held.is_empty() {
            let request = self.held.remove(0);
            self.reply(request.id, "\"held\"");
        }
    }

    /// How many in-band commands have left the client.
    pub(crate) fn sent_in_band(&self) -> usize {
        self.sent.windows(11).filter(|bytes| bytes == b"{\"execute\":").count().saturating_sub(1)
    }

    pub(crate) fn emit(&mut self, name: &str, data: Option<&str>) {
        let timestamp = Some(Timestamp { seconds: 1, microseconds: 2 });
        let event = Event { name: name.to_owned(), data: data.map(raw), timestamp };
        self.server.emit(&event, self.now);
    }

    pub(crate) fn close(&mut self) {
        self.client.handle_close();
        self.hear();
    }
}

/// How long the reply to `big` is, about.
pub(crate) const BIG: usize = 60_000;

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

/// A big reply is told by its length.
fn start(value: &str) -> String {
    if value.len() > 100 { format!("{} bytes", value.len()) } else { value.to_owned() }
}

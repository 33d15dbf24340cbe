//! What becomes of what happens: it changes the view, and sets looks and commands going.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crossterm::event::{Event as Input, KeyEventKind};
use qplug_hotplug::{Error, Machine};
use qplug_qmp::{Client, Event, Events, EventsError};
use ratatui::layout::Rect;
use tokio::sync::mpsc;

use super::agenda::{Agenda, Parts};
use super::completion::{self, Completed};
use super::jobs::Source;
use super::keys::{self, Action};
use super::log::Kind;
use super::look::{Seen, look};
use super::screen::{self, Screen};
use super::view::{Link, Mode, View};
use super::work::{MAX_WORKS, Page, Work, read};
use crate::commands::{self, events};
use crate::failure::{Exit, Failure};
use crate::monitor::{Monitor, Pauses};
use crate::output::Output;

/// A machine that has not answered for so long is said to be silent.
const SILENT_AFTER: Duration = Duration::from_secs(3);

/// Time between two looks at the clock, for what is shown of it.
const CLOCK_EVERY: Duration = Duration::from_secs(1);

/// Something that happened.
pub(super) enum Happening {
    /// A key, a paste, another size; nothing when the terminal is gone.
    Input(Option<Input>),
    /// A try to connect has ended.
    Connected(Result<Client, Failure>),
    /// A look has ended, over the connection of this number.
    Looked(u64, Box<Seen>),
    /// A command has ended.
    Worked(u64, Result<Exit, Failure>),
    Completed(Completed),
}

/// A connection that is there.
pub(super) struct Session {
    machine: Machine,
    pub(super) events: Events,
}

/// The view, and what goes on behind it.
pub(super) struct Driver {
    monitor: Monitor,
    pub(super) view: View,
    agenda: Agenda,
    pub(super) session: Option<Session>,
    /// How many connections there were.
    sessions: u64,
    works: u64,
    pauses: Pauses,
    /// Why it cannot go on, if so.
    pub(super) failure: Option<Failure>,
    pub(super) size: Rect,
    happens: mpsc::Sender<Happening>,
    /// What commands print.
    lines: mpsc::Sender<String>,
}

/// Whether to go on.
#[derive(PartialEq)]
pub(super) enum Next {
    GoOn,
    Leave,
}

impl Driver {
    pub(super) fn new(
        monitor: Monitor,
        client: Client,
        happens: mpsc::Sender<Happening>,
        lines: mpsc::Sender<String>,
    ) -> Self {
        let mut driver = Self {
            monitor,
            view: View::new(String::new()),
            agenda: Agenda::new(Instant::now()),
            session: None,
            sessions: 0,
            works: 0,
            pauses: Pauses::new(),
            failure: None,
            size: screen::size(),
            happens,
            lines,
        };
        driver.meet(client);
        driver
    }

    pub(super) fn say(&mut self, kind: Kind, text: &str) {
        self.view.log.add(SystemTime::now(), kind, text);
    }

    /// Begins with a connection.
    fn meet(&mut self, client: Client) {
        self.sessions += 1;
        self.pauses = Pauses::new();
        self.view.qemu = client.greeting().version.to_string();
        self.view.link = Link::Up;
        // Another QEMU may be at the other end.
        self.view.jobs_from = Source::Unknown;
        self.view.meters.forget();
        self.agenda = Agenda::new(Instant::now());
        let events = client.events();
        let machine = Machine::new(client).dialect(self.monitor.dialect);
        self.session = Some(Session { machine, events });
    }

    /// When to look at the clock again at the latest.
    pub(super) fn wake(&self, draw_at: Option<Instant>) -> Instant {
        let due = self.session.as_ref().and_then(|_| self.agenda.due());
        let times = [due, draw_at].into_iter().flatten();
        times.fold(Instant::now() + CLOCK_EVERY, Instant::min)
    }

    /// What the time alone changes. Whether it did.
    pub(super) fn look_at_clock(&mut self, now: Instant) -> bool {
        if self.session.is_none() {
            return false;
        }
        let waits = self.agenda.waits(now);
        let link = match waits >= SILENT_AFTER {
            true => Link::Silent(Duration::from_secs(waits.as_secs())),
            false => Link::Up,
        };
        let has_changed = link != self.view.link;
        self.view.link = link;
        has_changed
    }

    /// Looks at what is due, in the background.
    pub(super) fn begin_look(&mut self) {
        let Some(session) = &self.session else { return };
        let Some(mut parts) = self.agenda.begin(Instant::now()) else { return };
        let source = self.view.jobs_from;
        let is_working = !self.view.jobs().is_empty();
        if parts.has(Parts::ACTIVITY) && (is_working || source == Source::BlockJobs) {
            parts |= Parts::JOBS;
        }
        let (machine, number) = (session.machine.clone(), self.sessions);
        let happens = self.happens.clone();
        tokio::spawn(async move {
            let seen = look(&machine, parts, source, Instant::now).await;
            // Nobody is there to take it when the view is left.
            let _ = happens.send(Happening::Looked(number, Box::new(seen))).await;
        });
    }

    pub(super) fn take(&mut self, happening: Happening, screen: &Screen) -> Next {
        match happening {
            Happening::Input(None) => return Next::Leave,
            Happening::Input(Some(input)) => return self.take_input(input, screen),
            Happening::Connected(Ok(client)) => {
                self.meet(client);
                self.say(Kind::Said, "connected again; events may have been missed");
            }
            Happening::Connected(Err(failure)) => {
                self.view.link = Link::Down(failure.message);
                self.connect_later();
            }
            Happening::Looked(number, seen) if number == self.sessions => self.take_seen(*seen),
            Happening::Looked(..) => {}
            Happening::Worked(number, outcome) => {
                self.view.works.retain(|work| work.number != number);
                if let Err(failure) = outcome {
                    self.say(Kind::Failed, &failure.message);
                }
                self.agenda.want(Parts::ALL, Instant::now());
            }
            Happening::Completed(completed) => self.take_completed(completed),
        }
        Next::GoOn
    }

    fn take_input(&mut self, input: Input, screen: &Screen) -> Next {
        let action = match input {
            // Some terminals tell of a key's way up too.
            Input::Key(key) if key.kind == KeyEventKind::Release => None,
            Input::Key(key) => keys::press(&mut self.view, key),
            Input::Paste(text) => {
                if let Mode::Prompt(prompt) = &mut self.view.mode {
                    prompt.insert(&text);
                }
                None
            }
            Input::Resize(width, height) => {
                self.size = Rect::new(0, 0, width, height);
                None
            }
            _ => None,
        };
        match action {
            None => {}
            Some(Action::Quit) => return Next::Leave,
            Some(Action::Run(line)) => self.begin_work(&line),
            Some(Action::Complete(before)) => self.complete(before),
            Some(Action::Say(text)) => self.say(Kind::Said, &text),
            Some(Action::Refresh) => {
                screen.draw_anew();
                self.agenda.want(Parts::ALL, Instant::now());
            }
        }
        Next::GoOn
    }

    pub(super) fn take_event(&mut self, event: Result<Arc<Event>, EventsError>) -> Next {
        let now = Instant::now();
        match event {
            Ok(event) => {
                self.say(Kind::Event, &events::words(&event));
                self.agenda.want(Parts::changed_by(&event.name), now);
            }
            Err(EventsError::Closed(closed)) => {
                self.session = None;
                let closed = closed.to_string();
                if self.monitor.kept.is_some() {
                    // A shell finds it again by itself, and a monitor serves one client at a time.
                    self.failure = Some(Failure { exit: Exit::Connection, message: closed });
                    return Next::Leave;
                }
                self.say(Kind::Failed, &format!("the connection is lost: {closed}"));
                if self.monitor.can_come_back() {
                    self.view.link = Link::Down(format!("{closed}; trying again"));
                    self.connect_later();
                } else {
                    self.view.link = Link::Down(format!("{closed}; it cannot be made again"));
                }
            }
            Err(missed) => {
                self.say(Kind::Failed, &missed.to_string());
                self.agenda.want(Parts::ALL, now);
            }
        }
        Next::GoOn
    }

    fn connect_later(&mut self) {
        let (monitor, happens) = (self.monitor.clone(), self.happens.clone());
        let pause = self.pauses.take();
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            let connected = monitor.connect().await;
            let _ = happens.send(Happening::Connected(connected)).await;
        });
    }

    fn take_seen(&mut self, seen: Seen) {
        let now = Instant::now();
        self.agenda.end(now);
        let mut failure = None;
        if let Some((told, at)) = kept(seen.activity, &mut failure)
            && self.view.meters.take(told, at)
        {
            // Nothing announces a disk that comes: this is how it is noticed. Not after the first
            // look, which is at everything.
            if seen.disks.is_none() {
                self.agenda.want(Parts::TOPOLOGY, now);
            }
        }
        if let Some(status) = kept(seen.status, &mut failure) {
            self.view.status = Some(status);
        }
        if let Some(disks) = kept(seen.disks, &mut failure) {
            // A board that qplug knows no places of has disks all the same.
            let ports = seen.ports.and_then(Result::ok);
            self.view.take_topology(disks, ports);
        }
        match seen.jobs {
            Some(Ok((source, jobs))) => self.view.take_jobs(source, jobs),
            Some(Err(error)) => {
                failure.get_or_insert(error.to_string());
            }
            None => {}
        }
        // A connection that is lost is said by itself.
        if let (Some(failure), Some(_)) = (failure, &self.session) {
            self.say(Kind::Failed, &failure);
        }
    }

    fn begin_work(&mut self, line: &str) {
        self.say(Kind::Asked, line);
        let Some(session) = &self.session else {
            return self.say(Kind::Failed, "there is no connection to the machine now");
        };
        let client = session.machine.client().clone();
        if self.view.works.len() >= MAX_WORKS {
            return self.say(Kind::Failed, "too many commands are under way: wait for one");
        }
        let args = match read(line) {
            Ok(args) => args,
            Err(failure) => return self.say(Kind::Failed, &failure.message),
        };
        self.works += 1;
        let number = self.works;
        self.view.works.push(Work::new(number, line, &args.command));
        let dialect = args.dialect.or(self.monitor.dialect);
        let monitor = Monitor { kept: Some(client), dialect, ..self.monitor.clone() };
        let page = || Page { partial: Vec::new(), lines: self.lines.clone() };
        let output = Output::onto(page(), page()).with_json(args.json);
        let happens = self.happens.clone();
        tokio::spawn(async move {
            let outcome = commands::run_command(args.command, &monitor, &output).await;
            // All that it said comes before its end.
            let _ = tokio::task::spawn_blocking(move || output.finish()).await;
            let _ = happens.send(Happening::Worked(number, outcome)).await;
        });
    }

    /// Reads a folder, which may take its time, somewhere else.
    fn complete(&mut self, before: String) {
        let (happens, known) = (self.happens.clone(), self.view.known());
        tokio::task::spawn_blocking(move || {
            let completed = completion::complete(&before, &known);
            let _ = happens.blocking_send(Happening::Completed(completed));
        });
    }

    fn take_completed(&mut self, completed: Completed) {
        let Mode::Prompt(prompt) = &mut self.view.mode else { return };
        if prompt.before() != completed.before {
            return;
        }
        prompt.erase(completed.erase);
        prompt.insert(&completed.insert);
        prompt.choices = completed.choices;
    }
}

/// What was found; a failure is noted, the first one only.
fn kept<T>(found: Option<Result<T, Error>>, failure: &mut Option<String>) -> Option<T> {
    match found? {
        Ok(found) => Some(found),
        Err(error) => {
            failure.get_or_insert(error.to_string());
            None
        }
    }
}

//! A thread for each command, so that one that hangs holds up no other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use qplug_agent::wire::BUSY;
use qplug_proto::ErrorReply;

use crate::refusal::{Result, refuse};

/// How many commands may be under way, in all lanes. A conversation has no more than nine; the others are
/// those of hosts that left before, and whose disks hang.
const MAX_JOBS: usize = 64;

/// A command's code is shallow; the largest thing on its stack is a uevent's buffer.
const STACK_BYTES: usize = 512 << 10;

/// Counts the commands under way.
#[derive(Debug, Default, Clone)]
pub(crate) struct Jobs {
    running: Arc<AtomicUsize>,
}

impl Jobs {
    /// Carries work out in a thread of its own, and hands on what came of it.
    pub(crate) fn start<T: 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
        done: impl FnOnce(Result<T>) + Send + 'static,
    ) -> Result<()> {
        if self.running.fetch_add(1, Ordering::SeqCst) >= MAX_JOBS {
            self.running.fetch_sub(1, Ordering::SeqCst);
            let words = format!("{MAX_JOBS} commands are under way and do not end");
            return Err(ErrorReply::new(BUSY, words));
        }
        let running = self.running.clone();
        let job = move || {
            // A mistake of ours costs one command, and not the machine.
            let outcome = catch_unwind(AssertUnwindSafe(work));
            running.fetch_sub(1, Ordering::SeqCst);
            done(
                outcome
                    .unwrap_or_else(|_| Err(refuse("the agent made a mistake; see its console"))),
            );
        };
        let started = thread::Builder::new().stack_size(STACK_BYTES).spawn(job);
        started.map(drop).map_err(|error| {
            self.running.fetch_sub(1, Ordering::SeqCst);
            ErrorReply::new(BUSY, format!("no thread can be begun: {error}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn there_are_only_so_many_and_a_mistake_is_an_answer() {
        let jobs = Jobs::default();
        let (answer, answers) = channel();
        let told = answer.clone();
        jobs.start(|| -> Result<()> { panic!("on purpose") }, move |it| told.send(it).unwrap())
            .unwrap();
        assert!(answers.recv().unwrap().is_err());
        let gates: Vec<_> = (0..MAX_JOBS)
            .map(|_| {
                let (gate, wait) = channel::<()>();
                let told = answer.clone();
                let work = move || {
                    let _ = wait.recv();
                    Ok(())
                };
                jobs.start(work, move |it| told.send(it).unwrap()).unwrap();
                gate
            })
            .collect();
        let refused = jobs.start(|| Ok(()), |_| {}).unwrap_err();
        assert_eq!(refused.class, BUSY);
        drop(gates);
        for _ in 0..MAX_JOBS {
            answers.recv().unwrap().unwrap();
        }
        jobs.start(|| Ok(()), |_| {}).unwrap();
    }
}

//! Reading while the caller is busy with something else.

use std::io;
use std::os::fd::AsFd;
use std::thread;

use super::Client;

impl Client {
    /// Does something that may take long, such as printing for a reader that may be stuck, while a
    /// thread sends what was given, and reads what QEMU says: replies are kept for [`Client::wait`],
    /// and as many events as ever.
    ///
    /// # Errors
    /// When the system has no descriptors or no thread for it; nothing was done then.
    pub fn while_away<T>(&mut self, work: impl FnOnce() -> T) -> io::Result<T> {
        let (stop, is_back) = io::pipe()?;
        thread::scope(|scope| {
            // Dropped when the work is done, or panics: the thread ends, and then the scope.
            let is_back = is_back;
            let conversation = &mut self.conversation;
            thread::Builder::new()
                .spawn_scoped(scope, move || conversation.hear_until(stop.as_fd()))?;
            let done = work();
            drop(is_back);
            Ok(done)
        })
    }
}

//! A command on its way to the handler.

use std::future::Future;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use qplug_proto::ErrorReply;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::passed::Passed;

/// What a command returns, or why it is refused.
pub type Reply = Result<Box<RawValue>, ErrorReply>;

/// A command to carry out.
#[derive(Debug)]
pub struct Call {
    /// Its name.
    pub command: String,
    /// Its arguments, an object, in strict JSON; absent where the client gave none.
    pub arguments: Option<Box<RawValue>>,
    /// Whether it overtook others. One that cannot is refused with [`ErrorReply::no_oob`].
    pub out_of_band: bool,
    pub(super) passed: Arc<Passed>,
}

impl Call {
    /// Decodes the arguments; none are an empty object.
    ///
    /// # Errors
    /// A refusal to reply with, when they do not have the shape that is asked for.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, ErrorReply> {
        let text = self.arguments.as_deref().map_or("{}", RawValue::get);
        serde_json::from_str(text).map_err(|error| {
            let text = format!("The arguments of {} are wrong: {error}", self.command);
            ErrorReply::new("GenericError", text)
        })
    }

    /// Takes the descriptors that the client passed, in the order in which they came: those of one
    /// message a call. Like QEMU's, a server does not learn which command they are meant for, so
    /// only the handler of a command that needs some may take them. Those that no command takes are
    /// closed when others come.
    #[must_use]
    pub fn take_fds(&self) -> Vec<OwnedFd> {
        self.passed.take()
    }
}

/// Carries commands out. Closures are handlers: `async |call: Call| …`.
pub trait Handler: Send + Sync + 'static {
    /// Carries a command out. A handler that waits lets out-of-band commands pass, and only them.
    fn handle(&self, call: Call) -> impl Future<Output = Reply> + Send;
}

impl<F, R> Handler for F
where
    F: Fn(Call) -> R + Send + Sync + 'static,
    R: Future<Output = Reply> + Send,
{
    fn handle(&self, call: Call) -> impl Future<Output = Reply> + Send {
        self(call)
    }
}

/// A reply that returns this value.
///
/// # Errors
/// When the value cannot be written as JSON.
pub fn returning(value: &impl Serialize) -> Reply {
    serde_json::value::to_raw_value(value)
        .map_err(|error| ErrorReply::new("GenericError", format!("The reply is broken: {error}")))
}

//! What runs the guest's instructions: the host's processor, where a guest really boots on it, or QEMU.

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    /// QEMU translates them, everywhere.
    Tcg,
    /// The host's processor, through `/dev/kvm`.
    Kvm,
}

impl Accel {
    /// QEMU's word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcg => "tcg",
            Self::Kvm => "kvm",
        }
    }

    /// The processor that a guest sees. With TCG one of fewer abilities boots faster than `max`: each
    /// is looked at, tested and translated.
    pub(crate) fn processor(self) -> &'static str {
        match self {
            Self::Tcg => "qemu64,+rdrand",
            Self::Kvm => "host",
        }
    }
}

//! Descriptors that travel beside bytes over a unix socket, for `getfd` and `add-fd`.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

/// How many descriptors may go with one message; QEMU takes no more (`TCP_MAX_FDS`).
pub const MAX_PASSED_FDS: usize = 16;

/// Room for them in a control message.
const CONTROL_BYTES: usize = cmsg_space!(ScmRights(MAX_PASSED_FDS));

/// Takes over a descriptor that this process inherited, through a duplicate: the one way that needs
/// no `unsafe`. The inherited one stays open.
///
/// # Errors
/// `Uncategorized` (`EBADF`) when there is none; `Unsupported` before Linux 5.6.
pub fn adopt(fd: i32) -> io::Result<OwnedFd> {
    let this_process = pidfd_open(getpid(), PidfdFlags::empty())?;
    Ok(pidfd_getfd(this_process, fd, PidfdGetfdFlags::empty())?)
}

/// Sends the start of `bytes`, and the descriptors beside its first byte, without blocking. They
/// went if and only if this returns `Ok`; send what is left of the bytes without them. The peer gets
/// duplicates: the caller's stay open, and are the caller's to close.
///
/// # Errors
/// `WouldBlock` when the socket has no room; `InvalidInput` for more than [`MAX_PASSED_FDS`]
/// descriptors or no bytes to go with them; what the operating system says otherwise, such as
/// `InvalidInput` when the socket is no unix socket.
pub fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    if fds.is_empty() {
        return Ok(rustix::net::send(socket, bytes, flags)?);
    }
    if fds.len() > MAX_PASSED_FDS || bytes.is_empty() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut room = [MaybeUninit::uninit(); CONTROL_BYTES];
    let mut control = SendAncillaryBuffer::new(&mut room);
    if !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags)?)
}

/// Receives bytes, without blocking, and appends the descriptors that came beside the last of them.
/// Of more than [`MAX_PASSED_FDS`] the rest is closed. `Ok(0)` is the end of the stream.
///
/// # Errors
/// `WouldBlock` when there is nothing to read; what the operating system says otherwise.
pub fn receive(socket: impl AsFd, space: &mut [u8], fds: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut room = [MaybeUninit::uninit(); CONTROL_BYTES];
    let mut control = RecvAncillaryBuffer::new(&mut room);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let mut slices = [IoSliceMut::new(space)];
    let received = rustix::net::recvmsg(socket, &mut slices, &mut control, flags)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = message {
            fds.extend(passed);
        }
    }
    Ok(received.bytes)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_descriptor_arrives_and_is_the_same_file() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (mut reader, mut writer) = io::pipe().unwrap();
        assert_eq!(send(&ours, b"abc", &[writer.as_fd()]).unwrap(), 3);
        let (mut space, mut fds) = ([0; 8], Vec::new());
        assert_eq!(receive(&theirs, &mut space, &mut fds).unwrap(), 3);
        File::from(fds.pop().unwrap()).write_all(b"through").unwrap();
        writer.write_all(b"!").unwrap();
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), fds.len()), ("through!", 0));
    }

    #[test]
    fn too_many_are_refused_and_an_empty_socket_would_block() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let many = [ours.as_fd(); MAX_PASSED_FDS + 1];
        assert_eq!(send(&ours, b"x", &many).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        let (mut space, mut fds) = ([0; 8], Vec::new());
        let error = receive(&theirs, &mut space, &mut fds).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(send(&ours, b"x", &many[1..]).unwrap(), 1);
        assert_eq!(receive(&theirs, &mut space, &mut fds).unwrap(), 1);
        assert_eq!(fds.len(), MAX_PASSED_FDS);
    }
}

//! A folder of files served over HTTPS, with ranges, as QEMU's curl driver wants them.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::{Error, Result};

/// A client that stays silent for longer loses its connection, and so its thread.
const SILENT_FOR: Duration = Duration::from_secs(30);
/// The longest line of a request.
const MAX_LINE: u64 = 8192;
/// The most lines in a request's head.
const MAX_LINES: usize = 64;

/// A server on a port of 127.0.0.1. It stops listening when this is dropped.
#[derive(Debug)]
pub struct Https {
    port: u16,
    stopped: Arc<AtomicBool>,
    listening: Option<JoinHandle<()>>,
}

impl Https {
    /// Serves the files of `folder` with the server's certificate in `certificates`, a folder of
    /// [`crate::certificates::make`].
    pub fn serve(folder: &Path, certificates: &Path) -> Result<Self> {
        let config = Arc::new(config(certificates)?);
        let failed = |error: std::io::Error| Error::failed(format!("cannot serve: {error}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let stopped = Arc::new(AtomicBool::new(false));
        let (folder, stop) = (folder.to_owned(), Arc::clone(&stopped));
        let listening = std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let (config, folder) = (Arc::clone(&config), folder.clone());
                // A conversation that fails is the client's to complain about.
                std::thread::spawn(move || converse(client, config, &folder));
            }
        });
        Ok(Self { port, stopped, listening: Some(listening) })
    }

    /// Where a file of the folder is.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        format!("https://localhost:{}/{name}", self.port)
    }
}

impl Drop for Https {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // Wakes the listener, so that it sees the word.
        let woken = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok();
        if let Some(listening) = self.listening.take().filter(|_| woken) {
            // It has nothing to say.
            let _ = listening.join();
        }
    }
}

fn config(certificates: &Path) -> Result<ServerConfig> {
    let unreadable =
        |error: rustls::pki_types::pem::Error| Error::failed(format!("no certificate: {error}"));
    let chain = CertificateDer::from_pem_file(certificates.join("server-cert.pem"));
    let key = PrivateKeyDer::from_pem_file(certificates.join("server-key.pem"));
    ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![chain.map_err(unreadable)?], key.map_err(unreadable)?)
        .map_err(|error| Error::failed(format!("the certificate is of no use: {error}")))
}

/// Answers requests until the client leaves or makes no sense.
fn converse(client: TcpStream, config: Arc<ServerConfig>, folder: &Path) -> Option<()> {
    client.set_read_timeout(Some(SILENT_FOR)).ok()?;
    let connection = ServerConnection::new(config).ok()?;
    let mut stream = BufReader::new(StreamOwned::new(connection, client));
    loop {
        let request = Request::read(&mut stream)?;
        let answer = request.answer(folder);
        stream.get_mut().write_all(&answer).ok()?;
    }
}

/// What of a request decides the answer.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    head_only: bool,
    path: String,
    /// First and last byte.
    range: Option<(u64, u64)>,
}

impl Request {
    fn read(stream: &mut impl BufRead) -> Option<Self> {
        let first = line(stream)?;
        let mut words = first.split_whitespace();
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut range = None;
        for _ in 0..MAX_LINES {
            let field = line(stream)?;
            if field.is_empty() {
                return Some(Self { head_only: method == "HEAD", path, range });
            }
            let (name, value) = field.split_once(':')?;
            if name.eq_ignore_ascii_case("range") {
                let (from, to) = value.trim().strip_prefix("bytes=")?.split_once('-')?;
                range = Some((from.parse().ok()?, to.parse().unwrap_or(u64::MAX)));
            }
        }
        None
    }

    /// A file by its name alone: no path leads out of the folder.
    fn answer(&self, folder: &Path) -> Vec<u8> {
        let name = PathBuf::from(&self.path);
        let file = name.file_name().and_then(|name| File::open(folder.join(name)).ok());
        let size = file.as_ref().and_then(|file| Some(file.metadata().ok()?.len()));
        let (Some(file), Some(size @ 1..)) = (file, size) else {
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec();
        };
        let last = size - 1;
        let (from, to) = self.range.map_or((0, last), |(from, to)| (from.min(last), to.min(last)));
        let length = (to + 1).saturating_sub(from);
        let status = if self.range.is_some() { "206 Partial Content" } else { "200 OK" };
        let head = format!(
            "HTTP/1.1 {status}\r\nAccept-Ranges: bytes\r\nContent-Length: {length}\r\n\
             Content-Range: bytes {from}-{to}/{size}\r\n\r\n"
        );
        let mut answer = head.into_bytes();
        if !self.head_only {
            let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
            // A file that shrank meanwhile is a test's own doing; the client sees zeros.
            let _ = file.read_exact_at(&mut bytes, from);
            answer.extend(bytes);
        }
        answer
    }
}

fn line(stream: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    stream.take(MAX_LINE).read_line(&mut line).ok()?;
    line.ends_with('\n').then(|| line.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Option<Request> {
        Request::read(&mut text.as_bytes())
    }

    #[test]
    fn ranges_are_read_and_answered() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("x.img"), "0123456789").unwrap();
        let asked = request("GET /a/../x.img HTTP/1.1\r\nRANGE: bytes=2-4\r\n\r\n").unwrap();
        let answer = String::from_utf8(asked.answer(folder.path())).unwrap();
        assert!(answer.starts_with("HTTP/1.1 206 "), "{answer}");
        assert!(answer.ends_with("bytes 2-4/10\r\n\r\n234"), "{answer}");
        let asked = request("HEAD /x.img HTTP/1.1\r\n\r\n").unwrap();
        let answer = String::from_utf8(asked.answer(folder.path())).unwrap();
        assert!(answer.contains("Content-Length: 10\r\n") && answer.ends_with("\r\n\r\n"));
    }

    #[test]
    fn what_makes_no_sense_is_not_answered() {
        assert_eq!(request(""), None);
        assert_eq!(request("GET\r\n\r\n"), None);
        assert_eq!(request("GET /x HTTP/1.1\r\nRange: bytes=a-b\r\n\r\n"), None);
        assert_eq!(request(&"x: y\r\n".repeat(MAX_LINES + 2)), None);
        let missing = request("GET /none HTTP/1.1\r\n\r\n").unwrap();
        assert!(missing.answer(Path::new("/nowhere")).starts_with(b"HTTP/1.1 404 "));
    }
}

//! A TCP socket behind TLS, with the certificates laid out as QEMU lays out its own
//! (`-object tls-creds-x509,dir=…`).

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Stream, Transport, socket};
use crate::options::TlsFolder;

impl Transport for TlsStream<TcpStream> {
    /// QEMU reads its monitor a byte at a time, and waits for the socket in between, without looking
    /// at what its TLS library has decrypted already (seen in 7.2). A byte in a record of its
    /// own leaves nothing behind to be overlooked.
    fn write_limit(&self) -> usize {
        1
    }
}

pub(super) async fn connect(
    host: &str,
    port: u16,
    folder: Option<&TlsFolder>,
) -> io::Result<Stream> {
    let folder = folder.ok_or_else(|| {
        let text = "TLS needs a folder with ca-cert.pem (and client-cert.pem and client-key.pem)";
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })?;
    let config = Arc::new(config(&folder.0)?);
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let stream = socket::tcp(host, port).await?;
    Ok(Box::new(TlsConnector::from(config).connect(name, stream).await?))
}

/// The client's own certificate is used where it is there: QEMU asks for one with `verify-peer=on`.
fn config(folder: &Path) -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&folder.join("ca-cert.pem"))? {
        roots.add(certificate).map_err(io::Error::other)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots);
    let own = folder.join("client-cert.pem");
    if !own.exists() {
        return Ok(builder.with_no_client_auth());
    }
    let key_file = folder.join("client-key.pem");
    let key =
        PrivateKeyDer::from_pem_file(&key_file).map_err(|error| unusable(&key_file, &error))?;
    builder.with_client_auth_cert(certificates(&own)?, key).map_err(io::Error::other)
}

fn certificates(file: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| unusable(file, &error))
}

fn unusable(file: &Path, error: &rustls::pki_types::pem::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{}: {error}", file.display()))
}

//! TLS against QEMU's own: certificates of both sides, and what goes wrong without them.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is how these tests fail")]
#![cfg(feature = "tls")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use qplug_qmp::{Address, Client, ConnectError, Options, TlsFolder};
use qplug_testbed::nbd::free_port;
use qplug_testbed::{Board, Machine, Qemu, certificates};

/// Longer than a handshake takes on a busy host.
const PATIENCE: Duration = Duration::from_secs(20);

async fn connect(address: &Address, folder: Option<&Path>) -> Result<Client, ConnectError> {
    let tls = folder.map(|folder| TlsFolder(folder.to_owned()));
    let options = Options { connect_timeout: PATIENCE, tls, ..Options::default() };
    Client::connect_with(address, options).await
}

#[tokio::test]
async fn both_ends_show_their_certificates() {
    for qemu in Qemu::under_test("tls") {
        let certificates = tempfile::tempdir().unwrap();
        certificates::make(certificates.path()).unwrap();
        let port = free_port().unwrap();
        let folder = certificates.path().display();
        let arguments = [
            "-object".to_owned(),
            format!("tls-creds-x509,id=tls0,endpoint=server,dir={folder},verify-peer=on"),
            "-chardev".to_owned(),
            format!("socket,id=t,host=127.0.0.1,port={port},server=on,wait=off,tls-creds=tls0"),
            "-mon".to_owned(),
            "chardev=t,mode=control".to_owned(),
        ];
        let _machine = Machine::builder(&qemu, Board::Pc).arguments(arguments).halted().unwrap();
        for host in ["localhost", "127.0.0.1"] {
            let address: Address = format!("tls:{host}:{port}").parse().unwrap();
            let client = connect(&address, Some(certificates.path())).await.unwrap();
            let schema = client.execute("query-qmp-schema", None::<&()>).await.unwrap();
            assert!(schema.get().len() > 140_000);
        }

        let address: Address = format!("tls:localhost:{port}").parse().unwrap();
        let error = connect(&address, None).await.unwrap_err().to_string();
        assert!(error.contains("ca-cert.pem"), "{error}");
        let others = tempfile::tempdir().unwrap();
        certificates::make(others.path()).unwrap();
        let error = connect(&address, Some(others.path())).await.unwrap_err().to_string();
        assert!(error.contains("certificate"), "{error}");
        // Without a certificate of our own QEMU ends the conversation.
        fs::remove_file(certificates.path().join("client-cert.pem")).unwrap();
        assert!(connect(&address, Some(certificates.path())).await.is_err());
    }
}

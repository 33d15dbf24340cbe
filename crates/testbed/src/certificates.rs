//! Certificates for TLS, made anew for each test: an authority's, a server's and a client's.

use std::fs;
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::{Error, Result};

/// Makes a folder as QEMU's `tls-creds-x509` wants it: `ca-cert.pem`, and `server` and `client`,
/// each with a `-cert.pem` and a `-key.pem`, for `localhost` and 127.0.0.1.
pub fn make(folder: &Path) -> Result<()> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, "qplug test authority");
    let key = KeyPair::generate().map_err(unmade)?;
    write(folder, "ca-cert", &params.self_signed(&key).map_err(unmade)?.pem())?;
    let authority = Issuer::new(params, key);
    for (end, purpose) in [
        ("server", ExtendedKeyUsagePurpose::ServerAuth),
        ("client", ExtendedKeyUsagePurpose::ClientAuth),
    ] {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).map_err(unmade)?;
        params.distinguished_name.push(DnType::CommonName, end);
        // QEMU 10.0 asks for the second one too, needed or not.
        params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().map_err(unmade)?;
        let certificate = params.signed_by(&key, &authority).map_err(unmade)?;
        write(folder, &format!("{end}-cert"), &certificate.pem())?;
        write(folder, &format!("{end}-key"), &key.serialize_pem())?;
    }
    Ok(())
}

#[allow(clippy::needless_pass_by_value, reason = "this is what map_err passes")]
fn unmade(error: rcgen::Error) -> Error {
    Error::failed(format!("cannot make a certificate: {error}"))
}

fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    let path = folder.join(format!("{name}.pem"));
    fs::write(&path, text).map_err(Error::file("write", &path))
}

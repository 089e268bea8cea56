//! The cryptography of TLS, chosen once for the process.

use std::sync::Once;

/// Makes ring the cryptography of every TLS connection. The database driver uses it in any case; a second library, which
/// takes minutes to compile, would add nothing. Every HTTP client of the process needs this call before it is built.
pub fn use_ring() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error says that the process has chosen already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

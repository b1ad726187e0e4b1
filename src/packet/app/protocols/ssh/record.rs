//! What EVE tells of an SSH connection.

/// Both sides, as far as they were seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SshRecord {
    pub client: SshSide,
    pub server: SshSide,
}

/// What one side says before encryption.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SshSide {
    /// Of the banner `SSH-proto-software comments`.
    pub proto: Box<[u8]>,
    pub software: Box<[u8]>,
    /// What HASSH is made of, and its MD5 in hexadecimal. Empty until the key exchange began.
    pub hassh_string: Box<[u8]>,
    pub hassh: String,
}

//! The protocols that we read, and how each is recognised: by how a side begins, not by its port alone.

use std::sync::LazyLock;

use super::{ParseContext, Parser};
use crate::rules::app::{AppProto, AppProtoSet};
use crate::rules::plan::Toward;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Udp,
}

/// What the first bytes of one side say of one protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guess {
    Yes,
    No,
    /// It could be: more bytes will tell.
    More,
}

/// What the first bytes of a side say.
#[derive(Clone, Copy, Debug)]
pub enum Recognised {
    As(&'static ProtocolInfo),
    /// More bytes may tell. If none come, it is what is `likely` by now.
    NotYet {
        likely: Option<&'static ProtocolInfo>,
    },
    Never,
}

/// One protocol: how to know it, and how to read it.
pub struct ProtocolInfo {
    pub protocol: AppProto,
    pub transports: &'static [Transport],
    /// Judges the first bytes of one side (all that it has said so far, or one datagram). Must be cheap, and sure: two
    /// protocols that both say yes are settled by their order in [`REGISTRY`].
    pub recognise: fn(Toward, &[u8], &ParseContext<'_>) -> Guess,
    pub parser: fn() -> Box<dyn Parser>,
}

impl std::fmt::Debug for ProtocolInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.protocol.name())
    }
}

macro_rules! protocols {
    (folders { $($folder:ident)* } surest_first { $($info:path,)* }) => {
        $(pub mod $folder;)*

        /// All protocols with a parser, surest first.
        pub static REGISTRY: &[&ProtocolInfo] = &[$(&$info,)*];
    };
}

protocols! {
    folders {
        bittorrent
        dcerpc
        dhcp
        dnp3
        dns
        enip
        ftp
        http1
        http2
        ike
        krb5
        ldap
        modbus
        mqtt
        nfs
        ntp
        pgsql
        pop3
        quic
        rdp
        rfb
        sip
        smb
        smtp
        snmp
        ssh
        tftp
        tls
        unread
        websocket
    }
    surest_first {
        tls::TLS,
        http2::TCP,
        http1::INFO,
        smb::SMB,
        dcerpc::CONNECTION,
        dns::UDP,
        dns::TCP,
        dns::MDNS_UDP,
        dns::LLMNR_UDP,
        dns::LLMNR_TCP,
        krb5::UDP,
        krb5::TCP,
        snmp::UDP,
        quic::UDP,
        sip::UDP,
        sip::TCP,
        ssh::SSH,
        rfb::TCP,
        mqtt::TCP,
        rdp::TCP,
        dnp3::TCP,
        modbus::TCP,
        enip::TCP,
        enip::UDP,
        bittorrent::UDP,
        ldap::TCP,
        ldap::UDP,
        smtp::INFO,
        ftp::INFO,
        pgsql::TCP,
        pop3::TCP,
        unread::IMAP,
        nfs::TCP,
        nfs::UDP,
        dhcp::UDP,
        ntp::UDP,
        ike::UDP,
        tftp::UDP,
        dcerpc::DATAGRAMS,
        unread::TELNET,
        websocket::TCP,
    }
}

/// The protocols that have a parser.
#[must_use]
pub fn parsed() -> AppProtoSet {
    REGISTRY.iter().fold(AppProtoSet::EMPTY, |set, info| set.or(AppProtoSet::of(&[info.protocol])))
}

pub(super) fn info(protocol: AppProto) -> Option<&'static ProtocolInfo> {
    REGISTRY.iter().copied().find(|info| info.protocol == protocol)
}

pub(super) fn info_over(transport: Transport, protocol: AppProto) -> Option<&'static ProtocolInfo> {
    REGISTRY.iter().copied().find(|info| info.protocol == protocol && info.transports.contains(&transport))
}

/// What [`REGISTRY`] has for one transport, in its order. Each datagram that no parser knows is shown to all of these.
fn all_over(transport: Transport) -> &'static [&'static ProtocolInfo] {
    static TCP: LazyLock<Vec<&ProtocolInfo>> = LazyLock::new(|| listed(Transport::Tcp));
    static UDP: LazyLock<Vec<&ProtocolInfo>> = LazyLock::new(|| listed(Transport::Udp));
    match transport {
        Transport::Tcp => &TCP,
        Transport::Udp => &UDP,
    }
}

fn listed(transport: Transport) -> Vec<&'static ProtocolInfo> {
    REGISTRY.iter().copied().filter(|info| info.transports.contains(&transport)).collect()
}

pub(super) fn recognise(
    transport: Transport,
    toward: Toward,
    bytes: &[u8],
    context: &ParseContext<'_>,
    enabled: AppProtoSet,
) -> Recognised {
    let (mut unclear, mut likely) = (false, None);
    for info in all_over(transport) {
        if !enabled.contains(info.protocol) {
            continue;
        }
        match (info.recognise)(toward, bytes, context) {
            // A surer protocol that still needs bytes comes first.
            Guess::Yes if !unclear => return Recognised::As(info),
            Guess::Yes => likely = likely.or(Some(*info)),
            Guess::More => unclear = true,
            Guess::No => {}
        }
    }
    if unclear { Recognised::NotYet { likely } } else { Recognised::Never }
}

/// What one side alone is taken for, once that is settled: with these bytes, or because no more are asked (`is_full`).
pub(super) fn judge_side(
    transport: Transport,
    toward: Toward,
    head: &[u8],
    context: &ParseContext<'_>,
    enabled: AppProtoSet,
    is_full: bool,
) -> Option<Option<AppProto>> {
    match recognise(transport, toward, head, context, enabled) {
        Recognised::As(info) => Some(Some(info.protocol)),
        Recognised::Never => Some(None),
        Recognised::NotYet { likely } => is_full.then(|| likely.map(|info| info.protocol)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{self, Context, Options, Source, Vars};

    /// Nobody recognises these by their first bytes: another protocol leads to them.
    const LED_TO: [AppProto; 2] = [AppProto::FtpData, AppProto::Doh2];

    #[test]
    fn rules_for_what_nobody_reads_are_refused() {
        for protocol in AppProto::ALL {
            let rule = format!("alert {} any any -> any any (sid:1;)", protocol.name());
            let context = Context { vars: Vars::standard(), ..Context::default() };
            let compiled = rules::compile(&[Source::new("test.rules", &rule)], &context, &Options::default());
            let is_read = parsed().contains(protocol) || LED_TO.contains(&protocol);
            assert_eq!(compiled.loaded() == 1, is_read, "{rule}");
        }
    }
}

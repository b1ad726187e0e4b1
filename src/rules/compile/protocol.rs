//! The protocol word of a header, and the hook behind it.

use crate::rules::app::{AppProto, AppProtoSet, AppTransport};
use crate::rules::error::{Code, Mistake, Span, nearest};
use crate::rules::keyword::{Draft, Need};
use crate::rules::plan::HeaderProtocol;

const PROTOCOLS: [(&str, HeaderProtocol); 21] = [
    ("ip", HeaderProtocol::Ip),
    ("ipv4", HeaderProtocol::Ipv4),
    ("ip4", HeaderProtocol::Ipv4),
    ("ipv6", HeaderProtocol::Ipv6),
    ("ip6", HeaderProtocol::Ipv6),
    ("tcp", HeaderProtocol::Tcp),
    ("tcp-pkt", HeaderProtocol::TcpPkt),
    ("tcp-stream", HeaderProtocol::TcpStream),
    ("udp", HeaderProtocol::Udp),
    ("icmp", HeaderProtocol::Icmp),
    ("icmpv4", HeaderProtocol::Icmpv4),
    ("icmp4", HeaderProtocol::Icmpv4),
    ("icmpv6", HeaderProtocol::Icmpv6),
    ("icmp6", HeaderProtocol::Icmpv6),
    ("sctp", HeaderProtocol::Sctp),
    ("igmp", HeaderProtocol::Igmp),
    ("arp", HeaderProtocol::Arp),
    ("ether", HeaderProtocol::Ether),
    ("pkthdr", HeaderProtocol::PktHdr),
    ("any", HeaderProtocol::Ip),
    ("ip-any", HeaderProtocol::Ip),
];

/// An application protocol's word in a rule header.
#[derive(Clone, Copy)]
struct AppWord {
    name: &'static str,
    /// What it rests on.
    under: HeaderProtocol,
    protocols: AppProtoSet,
    /// `None`: there is a parser.
    need: Option<Need>,
}

const fn word(name: &'static str, under: HeaderProtocol, protocols: &[AppProto], need: Option<Need>) -> AppWord {
    AppWord { name, under, protocols: AppProtoSet::of(protocols), need }
}

/// What an application protocol's word stands for, and what has to be there before it can be recognised.
fn app(name: &str) -> Option<AppWord> {
    if let Some(word) = OTHER_WORDS.iter().find(|word| word.name == name) {
        return Some(*word);
    }
    let protocol = AppProto::ALL.into_iter().find(|protocol| protocol.name() == name)?;
    let need = UNREAD.iter().find(|(unread, _)| *unread == protocol).map(|(_, need)| *need);
    let under = match protocol.transport() {
        AppTransport::Tcp => HeaderProtocol::Tcp,
        AppTransport::Udp => HeaderProtocol::Udp,
        AppTransport::Both => HeaderProtocol::Ip,
    };
    Some(AppWord { name: protocol.name(), under, protocols: AppProtoSet::of(&[protocol]), need })
}

pub(in crate::rules) fn app_word(name: &str) -> Option<(AppProtoSet, Option<Need>)> {
    app(name).map(|word| (word.protocols, word.need))
}

pub(in crate::rules) fn app_words() -> impl Iterator<Item = &'static str> {
    OTHER_WORDS.iter().map(|word| word.name).chain(AppProto::ALL.into_iter().map(AppProto::name))
}

/// Words that mean something else than the protocol of that name, which every protocol has without a line here.
const OTHER_WORDS: &[AppWord] = &[
    word("http", HeaderProtocol::Tcp, &[AppProto::Http1, AppProto::Http2, AppProto::Doh2], None),
    word("http2", HeaderProtocol::Tcp, &[AppProto::Http2, AppProto::Doh2], None),
    word("llmnr", HeaderProtocol::Ip, &[AppProto::Llmnr], None),
    word("dns", HeaderProtocol::Ip, &[AppProto::Dns, AppProto::Doh2], None),
    word("http1", HeaderProtocol::Tcp, &[AppProto::Http1], None),
    word("ssl", HeaderProtocol::Tcp, &[AppProto::Tls], None),
    word("dcerpc", HeaderProtocol::Ip, &[AppProto::Dcerpc, AppProto::Smb], None),
    word("ikev2", HeaderProtocol::Udp, &[AppProto::Ike], None),
    word("template", HeaderProtocol::Tcp, &[], Some(Need::Parser("template"))),
    word("msn", HeaderProtocol::Tcp, &[], Some(Need::Never("MSN is not parsed; use `tcp` with the port"))),
];

/// Protocols without a parser.
const UNREAD: &[(AppProto, Need)] = &[(AppProto::Irc, Need::Never("IRC is not recognised; use `tcp` with the port"))];

pub(super) fn protocol(
    text: &str,
    span: Span,
    draft: &mut Draft<'_>,
    mistakes: &mut Vec<Mistake>,
) -> Option<(HeaderProtocol, AppProtoSet)> {
    let written = span.of(text).to_ascii_lowercase();
    let (word, hook) = written.split_once(':').map_or((&*written, None), |(word, hook)| (word, Some(hook)));
    if let Some((_, protocol)) = PROTOCOLS.iter().find(|(name, _)| *name == word) {
        read_hook(hook, span, draft, mistakes);
        return Some((*protocol, AppProtoSet::EMPTY));
    }
    if let Some(app) = app(word) {
        if let Some(need) = app.need {
            draft.needs.insert(0, (need, span));
        }
        if hook.is_some() {
            draft.needs.push((Need::Never("rules are not tied to the states of an application protocol"), span));
        }
        return Some((app.under, app.protocols));
    }
    let names = PROTOCOLS.iter().map(|(name, _)| *name).chain(app_words());
    let mistake = Mistake::new(Code::Protocol, span, format!("`{word}` is not known"));
    mistakes.push(match nearest(word, names) {
        Some(near) => mistake.help(format!("did you mean `{near}`?")),
        None => mistake.help("protocols are ip, ipv4, ipv6, tcp, udp, icmp, icmpv6, sctp and application protocols"),
    });
    None
}

/// Suricata 8 lets a rule say when it is judged: `tcp:flow_start`.
fn read_hook(hook: Option<&str>, span: Span, draft: &mut Draft<'_>, mistakes: &mut Vec<Mistake>) {
    match hook {
        None | Some("all") => {}
        Some("flow_start") => draft.flow_start = true,
        Some(hook) => {
            let mistake = Mistake::new(Code::Protocol, span, format!("the hook `{hook}` is not known"));
            mistakes.push(mistake.help("packets have the hooks all and flow_start"));
        }
    }
}

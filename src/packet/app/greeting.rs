//! SMTP and FTP: lines of a client to a server that has greeted it with 220.
//!
//! The greetings look alike, and so do some words. So each line is asked in its turn: a word that only one of them has
//! decides, and a word of both does where the port or the greeting says which it is.

use super::ParseContext;
use super::ports::on_port;
use super::protocols::Guess;
use crate::rules::app::AppProto;
use crate::rules::plan::Toward;

/// One protocol's words.
#[derive(Debug)]
pub struct Speech {
    protocol: AppProto,
    /// That the other does not have.
    words: &'static [&'static str],
    /// It is meant on these ports, and where the greeting has this name.
    ports: &'static [u16],
    name: &'static [u8],
}

pub static SMTP: Speech = Speech {
    protocol: AppProto::Smtp,
    words: &[
        "HELO", "EHLO", "LHLO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "VRFY", "EXPN", "STARTTLS", "ETRN", "TURN",
        "SEND", "SAML", "SOML",
    ],
    ports: &[25, 465, 587, 2525],
    name: b"smtp",
};

pub static FTP: Speech = Speech {
    protocol: AppProto::Ftp,
    words: &[
        "USER", "PASS", "ACCT", "CWD", "CDUP", "PORT", "EPRT", "PASV", "EPSV", "FEAT", "LIST", "NLST", "MLSD", "MLST",
        "RETR", "STOR", "STOU", "APPE", "TYPE", "MODE", "STRU", "SYST", "OPTS", "PWD", "XPWD", "MKD", "RMD", "DELE",
        "RNFR", "RNTO", "REST", "ABOR", "ALLO", "REIN", "SITE", "SIZE", "MDTM", "PBSZ", "PROT", "CCC", "CLNT", "HOST",
    ],
    ports: &[21],
    name: b"ftp",
};

const COMMON_WORDS: [&str; 5] = ["NOOP", "HELP", "QUIT", "STAT", "AUTH"];
const GREETING: &[u8] = b"220";
/// Of so many bytes without a word that decides, the greeting and the port do.
const UNDECIDED_BYTES_MAX: usize = 1024;

impl Speech {
    /// What a side says, as far as `ours` is concerned and not `theirs`.
    #[must_use]
    pub fn recognise(&self, theirs: &Speech, toward: Toward, bytes: &[u8], context: &ParseContext<'_>) -> Guess {
        if toward == Toward::Client {
            let shared = bytes.len().min(GREETING.len());
            return if bytes.get(..shared) == GREETING.get(..shared) { Guess::More } else { Guess::No };
        }
        let greeted = context.heard.starts_with(GREETING);
        if !greeted && !on_port(context, self.protocol, self.ports) {
            return Guess::No;
        }
        for line in bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_start) {
            let Some(end) = line.iter().position(u8::is_ascii_whitespace) else { continue };
            let word = line.get(..end).unwrap_or_default();
            let has = |words: &[&str]| words.iter().any(|known| word.eq_ignore_ascii_case(known.as_bytes()));
            match (has(self.words), has(theirs.words), has(&COMMON_WORDS)) {
                (true, ..) => return Guess::Yes,
                (_, true, _) => return Guess::No,
                (.., true) if self.is_meant(context) => return Guess::Yes,
                (.., true) if theirs.is_meant(context) => return Guess::No,
                _ => {}
            }
        }
        let decided = self.is_meant(context) || !theirs.is_meant(context);
        match greeted {
            true if bytes.len() >= UNDECIDED_BYTES_MAX && decided => Guess::Yes,
            true => Guess::More,
            false => Guess::No,
        }
    }

    fn is_meant(&self, context: &ParseContext<'_>) -> bool {
        let named = |window: &[u8]| window.eq_ignore_ascii_case(self.name);
        on_port(context, self.protocol, self.ports) || context.heard.windows(self.name.len()).any(named)
    }
}

//! One mail with its envelope.

use super::record::{EmailRecord, SmtpRecord};
use crate::packet::app::mime::Mime;
use crate::packet::app::record::FileAccount;
use crate::packet::app::{AppRecord, File, Transaction};
use crate::rules::app::AppTest;
use crate::rules::keyword::buffers::Buffer;
use crate::rules::plan::Toward;

#[derive(Debug, Default)]
pub(super) struct SmtpTx {
    pub helo: Option<Vec<u8>>,
    pub mail_from: Option<Vec<u8>>,
    pub rcpt_to: Vec<Vec<u8>>,
    /// Once the client sends the mail.
    pub mail: Option<Box<Mime>>,
    pub events: Vec<&'static str>,
    pub done: bool,
    pub told: bool,
}

impl SmtpTx {
    pub fn odd(&mut self, event: &'static str) {
        if !self.events.contains(&event) {
            self.events.push(event);
        }
    }

    pub fn heap_bytes(&self) -> usize {
        let names: usize = self.rcpt_to.iter().chain(&self.helo).chain(&self.mail_from).map(Vec::capacity).sum();
        size_of::<SmtpTx>() + names + self.mail.as_ref().map_or(0, |mail| mail.heap_bytes())
    }

    fn header(&self, name: &'static str, nth: usize) -> Option<&[u8]> {
        self.mail.as_ref().filter(|_| nth == 0)?.header(name)
    }

    fn file(&self, nth: usize) -> Option<&File> {
        self.mail.as_ref()?.files().get(nth)
    }

    fn smtp_record(&self) -> SmtpRecord {
        SmtpRecord {
            helo: self.helo.clone(),
            mail_from: self.mail_from.clone(),
            rcpt_to: self.rcpt_to.clone(),
            email: self.mail.as_ref().map(|mail| email_record(mail, self.done)),
        }
    }
}

fn email_record(mail: &Mime, done: bool) -> EmailRecord {
    let header = |name| mail.header(name).map(<[u8]>::to_vec);
    let list = |name| mail.header(name).map(addresses).unwrap_or_default();
    EmailRecord {
        status: if done { "PARSE_DONE" } else { "BODY_STARTED" },
        from: header("from"),
        to: list("to"),
        cc: list("cc"),
        subject: header("subject"),
        date: header("date"),
        message_id: header("message-id"),
        x_mailer: header("x-mailer"),
        received: mail.all_headers("received").map(<[u8]>::to_vec).collect(),
        attachment: mail.files().iter().map(|file| file.name().to_vec()).collect(),
        url: mail.urls().to_vec(),
    }
}

fn addresses(list: &[u8]) -> Vec<Vec<u8>> {
    list.split(|byte| *byte == b',').map(|address| address.trim_ascii().to_vec()).collect()
}

impl Transaction for SmtpTx {
    fn buffer(&self, buffer: Buffer, toward: Toward, nth: usize) -> Option<&[u8]> {
        if toward != Toward::Server {
            return None;
        }
        match buffer {
            Buffer::SMTP_HELO if nth == 0 => self.helo.as_deref(),
            Buffer::SMTP_MAIL_FROM if nth == 0 => self.mail_from.as_deref(),
            Buffer::SMTP_RCPT_TO => self.rcpt_to.get(nth).map(Vec::as_slice),
            Buffer::EMAIL_FROM => self.header("from", nth),
            Buffer::EMAIL_SUBJECT => self.header("subject", nth),
            Buffer::EMAIL_TO => self.header("to", nth),
            Buffer::EMAIL_CC => self.header("cc", nth),
            Buffer::EMAIL_DATE => self.header("date", nth),
            Buffer::EMAIL_MESSAGE_ID => self.header("message-id", nth),
            Buffer::EMAIL_X_MAILER => self.header("x-mailer", nth),
            Buffer::EMAIL_RECEIVED => self.mail.as_ref()?.all_headers("received").nth(nth),
            Buffer::EMAIL_URL => self.mail.as_ref()?.urls().get(nth).map(Vec::as_slice),
            Buffer::FILE_DATA => self.file(nth).map(File::data),
            Buffer::FILE_MAGIC => self.file(nth).and_then(File::magic),
            Buffer::FILE_NAME => self.file(nth).map(File::name),
            _ => None,
        }
    }

    fn accepts(&self, test: &AppTest, toward: Toward) -> bool {
        match test {
            AppTest::File(tests) if toward == Toward::Server => {
                self.mail.as_ref().is_some_and(|mail| mail.files().iter().any(|file| file.accepts(tests)))
            }
            _ => false,
        }
    }

    fn each_file(&mut self, visit: &mut dyn FnMut(Toward, &mut File)) {
        self.mail.iter_mut().flat_map(|mail| mail.files_mut()).for_each(|file| visit(Toward::Server, file));
    }

    fn events(&self) -> &[&'static str] {
        &self.events
    }

    fn is_done(&self, _toward: Toward) -> bool {
        self.done
    }

    fn record(&self) -> Option<AppRecord> {
        Some(AppRecord::Smtp(Box::new(self.smtp_record())))
    }

    fn take_record(&mut self, ended: bool) -> Option<AppRecord> {
        if let Some(file) = self.mail.as_mut().and_then(|mail| mail.files_mut().find_map(File::take_record)) {
            let of = self.record();
            return Some(AppRecord::File(Box::new(FileAccount { file, toward: Toward::Server, of })));
        }
        if !(self.done || ended) || std::mem::replace(&mut self.told, true) {
            return None;
        }
        self.record()
    }
}

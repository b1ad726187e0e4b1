//! What EVE tells of SMTP.

/// One mail, or what was said where none came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SmtpRecord {
    pub helo: Option<Vec<u8>>,
    pub mail_from: Option<Vec<u8>>,
    pub rcpt_to: Vec<Vec<u8>>,
    pub email: Option<EmailRecord>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EmailRecord {
    /// `PARSE_DONE` and the like.
    pub status: &'static str,
    pub from: Option<Vec<u8>>,
    /// Each address of the list.
    pub to: Vec<Vec<u8>>,
    pub cc: Vec<Vec<u8>>,
    pub subject: Option<Vec<u8>>,
    pub date: Option<Vec<u8>>,
    pub message_id: Option<Vec<u8>>,
    pub x_mailer: Option<Vec<u8>>,
    pub received: Vec<Vec<u8>>,
    pub attachment: Vec<Vec<u8>>,
    pub url: Vec<Vec<u8>>,
}

//! `ftpbounce`, `ftpdata_command` and the numbers and words of an FTP transaction.

use super::number::comparison;
use super::{Arg, Draft, Keyword, option};
use crate::rules::app::{AppTest, Field};
use crate::rules::error::{Code, Mistake};

pub(super) static KEYWORDS: &[Keyword] = &[
    option("ftpbounce", "ftp", "", "A PORT or EPRT command names another host.", ftpbounce),
    option("ftpdata_command", "ftp", "stor|retr", "The command that opened the data connection.", ftpdata_command),
    option("ftp.dynamic_port", "ftp", "[op]number", "The port of the data connection.", dynamic_port),
    option("ftp.mode", "ftp", "active|passive", "How the data connection is opened.", mode),
    option("ftp.reply_received", "ftp", "yes|no", "Whether the command was answered.", reply_received),
];

fn ftpbounce(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    draft.app.push((AppTest::FtpBounce, arg.option()));
    Ok(())
}

fn ftpdata_command(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let command = if one_of(arg, ["stor", "retr"])? { "STOR" } else { "RETR" };
    draft.app.push((AppTest::FtpData { command }, arg.option()));
    Ok(())
}

fn dynamic_port(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let test = comparison(arg.rule, arg.span, 65_535)?;
    draft.app.push((AppTest::Number { field: Field::FtpDynamicPort, test }, arg.option()));
    Ok(())
}

fn mode(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let passive = one_of(arg, ["passive", "active"])?;
    draft.app.push((AppTest::FtpMode { passive }, arg.option()));
    Ok(())
}

fn reply_received(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let received = match arg.text().to_ascii_lowercase().as_str() {
        "1" | "true" => true,
        "0" | "false" => false,
        _ => one_of(arg, ["yes", "no"])?,
    };
    draft.app.push((AppTest::FtpReplied { received }, arg.option()));
    Ok(())
}

/// True for the first of two words.
fn one_of(arg: &Arg<'_>, [first, second]: [&str; 2]) -> Result<bool, Mistake> {
    match arg.text().to_ascii_lowercase() {
        word if word == first => Ok(true),
        word if word == second => Ok(false),
        word => Err(Mistake::new(Code::Value, arg.span, format!("`{word}` is not understood here"))
            .help(format!("write `{first}` or `{second}`"))),
    }
}

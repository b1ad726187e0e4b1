//! Keywords about DNP3 messages: function, indications, objects. `dnp3_data` is a buffer.

use super::number::{integer, push_number, unsigned};
use super::{Arg, Draft, Keyword, option};
use crate::rules::app::{AppTest, Field};
use crate::rules::error::{Code, Mistake, nearest};
use crate::rules::industrial::INDICATIONS;

pub(super) static KEYWORDS: &[Keyword] = &[
    option("dnp3_func", "dnp3", "number or name", "The function of a message.", |draft, arg| {
        push_number(draft, arg, Field::Dnp3Function, FUNCTIONS, 255)
    })
    .aliased(&["dnp3.func"]),
    option("dnp3_ind", "dnp3", "name, ...", "One of these internal indications is set.", indications)
        .aliased(&["dnp3.ind"]),
    option("dnp3_obj", "dnp3", "group,variation", "An object of a message.", object).aliased(&["dnp3.obj"]),
];

const FUNCTIONS: &[(&str, u16)] = &[
    ("confirm", 0),
    ("read", 1),
    ("write", 2),
    ("select", 3),
    ("operate", 4),
    ("direct_operate", 5),
    ("direct_operate_nr", 6),
    ("immed_freeze", 7),
    ("immed_freeze_nr", 8),
    ("freeze_clear", 9),
    ("freeze_clear_nr", 10),
    ("freeze_at_time", 11),
    ("freeze_at_time_nr", 12),
    ("cold_restart", 13),
    ("warm_restart", 14),
    ("initialize_data", 15),
    ("initialize_appl", 16),
    ("start_appl", 17),
    ("stop_appl", 18),
    ("save_config", 19),
    ("enable_unsolicited", 20),
    ("disable_unsolicited", 21),
    ("assign_class", 22),
    ("delay_measure", 23),
    ("record_current_time", 24),
    ("open_file", 25),
    ("close_file", 26),
    ("delete_file", 27),
    ("get_file_info", 28),
    ("authenticate_file", 29),
    ("abort_file", 30),
    ("activate_config", 31),
    ("authenticate_req", 32),
    ("authenticate_err", 33),
    ("response", 129),
    ("unsolicited_response", 130),
    ("authenticate_resp", 131),
];

fn indications(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let mut bits = 0;
    for part in arg.parts() {
        let word = arg.at(part);
        bits |= match INDICATIONS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)) {
            Some((_, bit)) => *bit,
            None if word.starts_with(|first: char| first.is_ascii_digit()) => {
                u16::try_from(integer(word, part, 0, 65_535)?).unwrap_or(0)
            }
            None => {
                let mistake = Mistake::new(Code::Value, part, format!("`{word}` is no indication"));
                return Err(match nearest(word, INDICATIONS.iter().map(|(name, _)| *name)) {
                    Some(near) => mistake.help(format!("did you mean `{near}`?")),
                    None => mistake,
                });
            }
        };
    }
    draft.app.push((AppTest::Dnp3Indications(bits), arg.option()));
    Ok(())
}

fn object(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let parts = arg.parts();
    let [group, variation] = parts.as_slice() else { return Err(arg.wrong("the form is group,variation")) };
    let group = unsigned::<u8>(arg.at(*group), *group, 255)?;
    let variation = unsigned::<u8>(arg.at(*variation), *variation, 255)?;
    draft.app.push((AppTest::Dnp3Object { group, variation }, arg.option()));
    Ok(())
}

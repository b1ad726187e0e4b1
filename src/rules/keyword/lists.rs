//! `dataset`, `datarep` and `iprep`: what is looked up in lists.

use super::number::unsigned;
use super::{Arg, Draft, Keyword, option};
use std::sync::Arc;

use crate::rules::dataset::{DataError, DataKind, DataSet, DataSource, DataSpec};
use crate::rules::error::{Code, Mistake, Span, nearest};
use crate::rules::lex::trim;
use crate::rules::plan::{BufferTest, DataOperation, NumberTest, PacketTest, ReputationSide, ReputationTest};

pub(super) static KEYWORDS: &[Keyword] = &[
    option(
        "dataset",
        "dataset",
        "set|unset|isset|isnotset,name[, type string|md5|sha256|ipv4|ip][, load file][, save file][, state file][, memcap size][, hashsize n]",
        "The buffer is in a set, or is put into it or taken out; set and unset match if that changed something.",
        dataset,
    ),
    option(
        "datarep",
        "dataset",
        "name,op,number[, load file][, type string|md5|sha256|ipv4|ip][, memcap size][, hashsize n]",
        "The reputation that a set gives the buffer.",
        datarep,
    ),
    option(
        "iprep",
        "reputation",
        "any|src|dst|both,category,op,number, or ...,isset|isnotset",
        "The reputation of an address.",
        iprep,
    ),
];

fn dataset(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let parts = arg.parts();
    let [command, name, options @ ..] = parts.as_slice() else {
        return Err(arg.wrong("a command and a name are needed").help("for example `dataset:isset,dns-bl;`"));
    };
    let operation = match arg.at(*command) {
        "set" => DataOperation::Add,
        "unset" => DataOperation::Remove,
        "isset" => DataOperation::IsIn,
        "isnotset" => DataOperation::IsNotIn,
        other => {
            return Err(Mistake::new(Code::Value, *command, format!("`{other}` is no command"))
                .help("commands are set, unset, isset and isnotset"));
        }
    };
    let set = open(draft, arg, *name, &spec(arg, *name, options)?)?;
    draft.push(BufferTest::DataSet { set, operation }, arg.option());
    Ok(())
}

/// The set of that name, as rules loaded before or the configuration have it, or made now.
fn open(draft: &Draft<'_>, arg: &Arg<'_>, name: Span, spec: &DataSpec) -> Result<Arc<DataSet>, Mistake> {
    let Some(around) = draft.around else { return Ok(Arc::new(DataSet::new(DataKind::String, 0))) };
    around.datasets.open(spec, around.file, around.generation).map_err(|error| match error {
        DataError::Unknown => Mistake::new(Code::List, name, format!("no set is called `{}`", spec.name))
            .help("say what it holds where it first stands: `type string`"),
        DataError::OtherKind(kind) => {
            Mistake::new(Code::List, name, format!("`{}` is known to hold {}", spec.name, kind.as_str()))
        }
        DataError::OtherSource => Mistake::new(Code::List, name, format!("`{}` is known with another file", spec.name)),
        DataError::File(why) => Mistake::new(Code::List, arg.option(), why),
        DataError::Lines(lines) => {
            let first = lines.first().copied().unwrap_or_default();
            let label = format!("{} lines of the file are no values, the first is line {first}", lines.len());
            Mistake::new(Code::List, arg.option(), label).help("strings stand there as base64, hashes as hexadecimal")
        }
    })
}

fn datarep(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let parts = arg.parts();
    let [name, operator, number, options @ ..] = parts.as_slice() else {
        return Err(arg.wrong("name, operator and number are needed").help("for example `datarep:dns,>,200, ...;`"));
    };
    let value: u16 = unsigned(arg.at(*number), *number, 65_535)?;
    let test = compared(arg, *operator, u64::from(value))?;
    let spec = spec(arg, *name, options)?;
    if spec.source.save.is_some() {
        return Err(Mistake::new(Code::Value, *name, "reputations are loaded, never saved"));
    }
    let set = open(draft, arg, *name, &spec)?;
    draft.push(BufferTest::DataReputation { set, test }, arg.option());
    Ok(())
}

fn compared(arg: &Arg<'_>, operator: Span, value: u64) -> Result<NumberTest, Mistake> {
    Ok(match arg.at(operator) {
        ">" => NumberTest::Greater(value),
        "<" => NumberTest::Less(value),
        "==" | "=" => NumberTest::Equal(value),
        ">=" => NumberTest::GreaterOrEqual(value),
        "<=" => NumberTest::LessOrEqual(value),
        "!=" => NumberTest::NotEqual(value),
        other => return Err(Mistake::new(Code::Value, operator, format!("`{other}` is no operator"))),
    })
}

const WORDS: [&str; 7] = ["type", "load", "save", "state", "memcap", "hashsize", "format"];

fn spec(arg: &Arg<'_>, name: Span, options: &[Span]) -> Result<DataSpec, Mistake> {
    if arg.at(name).is_empty() || arg.at(name).contains(char::is_whitespace) {
        return Err(Mistake::new(Code::Value, arg.option(), "a set has a name without spaces"));
    }
    let mut spec = DataSpec {
        name: arg.at(name).to_owned(),
        kind: None,
        source: DataSource::default(),
        memcap_bytes: None,
        configured: false,
    };
    let mut state = None;
    for option in options {
        let (word, value) = arg.at(*option).split_once([' ', '\t']).unwrap_or((arg.at(*option), ""));
        let span = trim(arg.rule, Span::new(option.end - value.len(), option.end));
        let value = arg.at(span).to_owned();
        match word {
            _ if value.is_empty() && WORDS.contains(&word) => {
                return Err(Mistake::new(Code::Value, *option, format!("`{word}` needs a value")));
            }
            "type" => {
                let kind = DataKind::of(&value).ok_or_else(|| {
                    Mistake::new(Code::Value, span, format!("`{value}` is no type"))
                        .help("types are string, md5, sha256, ipv4 and ip")
                })?;
                spec.kind = Some(kind);
            }
            "load" => spec.source.load = Some(value),
            "save" => spec.source.save = Some(value),
            "state" => state = Some((value, span)),
            "memcap" => spec.memcap_bytes = Some(size(&value, span)?),
            // Our tables grow by themselves.
            "hashsize" => drop(unsigned::<i64>(&value, span, u32::MAX)?),
            "format" if value == "csv" => {}
            "format" => return Err(Mistake::new(Code::NotHonoured, span, "only csv files are read")),
            _ => {
                let help = nearest(word, WORDS.into_iter()).map_or_else(
                    || format!("words are {}", WORDS.join(", ")),
                    |near| format!("did you mean `{near}`?"),
                );
                return Err(Mistake::new(Code::Value, *option, format!("`{word}` is not understood here")).help(help));
            }
        }
    }
    if let Some((file, span)) = state {
        if spec.source != DataSource::default() {
            return Err(Mistake::new(Code::Conflict, span, "`state` with `load` or `save`").help("state is both"));
        }
        spec.source = DataSource { load: Some(file.clone()), save: Some(file) };
    }
    Ok(spec)
}

/// `100mb`, `64 kb`, `4096`.
pub(super) fn size(text: &str, span: Span) -> Result<usize, Mistake> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at_checked(digits).unwrap_or((text, ""));
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1usize << 30,
        _ => return Err(Mistake::new(Code::Value, span, format!("`{text}` is no size")).help("for example `10mb`")),
    };
    let bytes = number.parse::<usize>().ok().and_then(|number| number.checked_mul(factor));
    bytes.ok_or_else(|| Mistake::new(Code::Value, span, format!("`{text}` is no size")))
}

fn iprep(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let parts = arg.parts();
    let (side, category, test) = match parts.as_slice() {
        [side, category, word] => match arg.at(*word) {
            "isset" => (*side, *category, ReputationTest::IsSet),
            "isnotset" => (*side, *category, ReputationTest::IsNotSet),
            _ => return Err(Mistake::new(Code::Value, *word, "neither `isset` nor `isnotset`")),
        },
        [side, category, operator, number] => {
            let value: i64 = unsigned(arg.at(*number), *number, 127)?;
            (*side, *category, ReputationTest::Score(compared(arg, *operator, value.unsigned_abs())?))
        }
        _ => return Err(arg.wrong("side, category, operator and score are needed").help("`iprep:src,CnC,>,30;`")),
    };
    let side = match arg.at(side) {
        "any" => ReputationSide::Any,
        "src" => ReputationSide::Source,
        "dst" => ReputationSide::Destination,
        "both" => ReputationSide::Both,
        other => {
            return Err(Mistake::new(Code::Value, side, format!("`{other}` is no side"))
                .help("sides are any, src, dst and both"));
        }
    };
    let name = arg.at(category);
    let known = draft.around.map(|around| around.reputation);
    let category = match known.and_then(|known| known.category(name)) {
        Some(category) => category,
        None => {
            let mistake = Mistake::new(Code::List, category, format!("no category is called `{name}`"));
            return Err(match known.and_then(|known| nearest(name, known.category_names())) {
                Some(near) => mistake.help(format!("did you mean `{near}`?")),
                None => mistake.help("categories stand in the file that `reputation-categories-file` names"),
            });
        }
    };
    draft.packet.push((PacketTest::Reputation { side, category, test }, arg.option()));
    Ok(())
}

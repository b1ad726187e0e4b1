//! What rules remember: flowbits and flowints on a connection, xbits and hostbits on addresses.

use super::number::unsigned;
use super::{Arg, Draft, Keyword, option};
use crate::rules::error::{Code, Mistake, Span};
use crate::rules::lex::{split, trim};
use crate::rules::plan::{BitChange, BitScope, Effect, IntChange, IntCompare, IntOperand, IntTest, NameId, StateTest};

const FAMILY: &str = "state";
/// How long an xbit or hostbit lives unless the rule says so, in seconds.
const EXPIRE_SECONDS: u32 = 300;

pub(super) static KEYWORDS: &[Keyword] = &[
    option(
        "flowbits",
        FAMILY,
        "set|unset|toggle|isset|isnotset,name[|name...] or noalert",
        "A bit that the connection carries.",
        flowbits,
    ),
    option(
        "flowint",
        FAMILY,
        "name,=|+|-|==|!=|<|>|<=|>=,number or name, or name,isset|notset",
        "A number that the connection carries.",
        flowint,
    ),
    option(
        "xbits",
        FAMILY,
        "set|unset|toggle|isset|isnotset,name,track ip_src|ip_dst|ip_pair[,expire seconds]",
        "A bit that an address, or a pair of them, carries.",
        xbits,
    ),
    option(
        "hostbits",
        FAMILY,
        "set|unset|toggle|isset|isnotset,name[,src|dst]",
        "A bit that an address carries.",
        hostbits,
    ),
    option("alert", FAMILY, "", "A rule with the action `pass` tells of its matches.", alert),
    option("noalert", FAMILY, "", "A match tells nobody; what it sets is set, and its action stands.", noalert),
];

fn noalert(draft: &mut Draft<'_>, _: &Arg<'_>) -> Result<(), Mistake> {
    draft.noalert = true;
    Ok(())
}

fn alert(draft: &mut Draft<'_>, _: &Arg<'_>) -> Result<(), Mistake> {
    draft.tells_of_pass = true;
    Ok(())
}

fn name_of<'t>(arg: &Arg<'t>, span: Span) -> Result<&'t str, Mistake> {
    let name = arg.at(span);
    if name.is_empty() {
        return Err(Mistake::new(Code::Value, arg.option(), "a name is missing"));
    }
    if name.contains(char::is_whitespace) {
        return Err(Mistake::new(Code::Value, span, "a name has no spaces"));
    }
    Ok(name)
}

enum Verb {
    Change(BitChange),
    Test { set: bool },
}

fn verb(arg: &Arg<'_>, span: Span) -> Result<Verb, Mistake> {
    Ok(match arg.at(span) {
        "set" => Verb::Change(BitChange::Set),
        "unset" => Verb::Change(BitChange::Unset),
        "toggle" => Verb::Change(BitChange::Toggle),
        "isset" => Verb::Test { set: true },
        "isnotset" => Verb::Test { set: false },
        other => {
            return Err(Mistake::new(Code::Value, span, format!("`{other}` is no command"))
                .help("commands are set, unset, toggle, isset and isnotset"));
        }
    })
}

fn flowbits(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let parts = split(arg.rule, arg.unquoted(), b',');
    let (command, names) = match parts.as_slice() {
        [only] if arg.at(*only) == "noalert" => {
            draft.noalert = true;
            return Ok(());
        }
        [command, names] => (*command, *names),
        _ => return Err(arg.wrong("a command and a name are needed").help("for example `flowbits:set,seen.login;`")),
    };
    let verb = verb(arg, command)?;
    let spans = split(arg.rule, names, b'|');
    let mut ids = Vec::with_capacity(spans.len());
    for span in &spans {
        ids.push(NameId::of(name_of(arg, *span)?));
        draft.flowbit_names.push((arg.at(*span).to_owned(), *span));
    }
    match verb {
        Verb::Test { set } => {
            draft.state.push((StateTest::FlowBits { any_of: ids.into(), set }, arg.option()));
        }
        Verb::Change(change) => {
            let [name] = ids.as_slice() else {
                return Err(Mistake::new(Code::Value, names, "`|` goes with isset and isnotset only"));
            };
            draft.effects.push((Effect::FlowBit { name: *name, change }, arg.option()));
        }
    }
    Ok(())
}

fn flowint(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let parts = split(arg.rule, arg.unquoted(), b',');
    let (name, command, value) = match parts.as_slice() {
        [name, command] => (*name, *command, None),
        [name, command, value] => (*name, *command, Some(*value)),
        _ => return Err(arg.wrong("a name and a command are needed").help("for example `flowint:logins,+,1;`")),
    };
    let name = NameId::of(name_of(arg, name)?);
    let word = arg.at(command);
    let test = match (word, value) {
        ("isset", None) => Some(IntTest::IsSet),
        ("notset" | "isnotset", None) => Some(IntTest::NotSet),
        _ => int_compare(word)
            .map(|compare| operand(arg, command, value).map(|operand| IntTest::Compare(compare, operand)))
            .transpose()?,
    };
    if let Some(test) = test {
        draft.state.push((StateTest::FlowInt { name, test }, arg.option()));
        return Ok(());
    }
    let change = match word {
        "=" => IntChange::Set,
        "+" => IntChange::Add,
        "-" => IntChange::Subtract,
        _ => return Err(Mistake::new(Code::Value, command, format!("`{word}` is no command of flowint"))),
    };
    let operand = operand(arg, command, value)?;
    draft.effects.push((Effect::FlowInt { name, change, operand }, arg.option()));
    Ok(())
}

fn int_compare(word: &str) -> Option<IntCompare> {
    Some(match word {
        "==" => IntCompare::Equal,
        "!=" => IntCompare::NotEqual,
        "<" => IntCompare::Less,
        "<=" => IntCompare::LessOrEqual,
        ">" => IntCompare::Greater,
        ">=" => IntCompare::GreaterOrEqual,
        _ => return None,
    })
}

fn operand(arg: &Arg<'_>, command: Span, value: Option<Span>) -> Result<IntOperand, Mistake> {
    let span = value.ok_or_else(|| Mistake::new(Code::Value, command, "a number or a name must follow"))?;
    let text = arg.at(span);
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        return unsigned(text, span, u32::MAX).map(IntOperand::Number);
    }
    Ok(IntOperand::Variable(NameId::of(name_of(arg, span)?)))
}

fn push_shared(draft: &mut Draft<'_>, arg: &Arg<'_>, verb: Verb, bit: (BitScope, NameId), seconds: u32) {
    let (scope, name) = bit;
    match verb {
        Verb::Test { set } => draft.state.push((StateTest::SharedBit { scope, name, set }, arg.option())),
        Verb::Change(change) => {
            draft.effects.push((Effect::SharedBit { scope, name, change, seconds }, arg.option()));
        }
    }
}

fn xbits(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let parts = split(arg.rule, arg.unquoted(), b',');
    let [command, name, options @ ..] = parts.as_slice() else {
        if let [only] = parts.as_slice()
            && arg.at(*only) == "noalert"
        {
            draft.noalert = true;
            return Ok(());
        }
        return Err(arg.wrong("a command, a name and `track ...` are needed"));
    };
    let verb = verb(arg, *command)?;
    let name = NameId::of(name_of(arg, *name)?);
    let (mut scope, mut seconds) = (None, EXPIRE_SECONDS);
    for option in options {
        let (word, value) = arg.at(*option).split_once([' ', '\t']).unwrap_or((arg.at(*option), ""));
        let span = trim(arg.rule, Span::new(option.end - value.len(), option.end));
        match (word, arg.at(span)) {
            ("track", "ip_src") => scope = Some(BitScope::Source),
            ("track", "ip_dst") => scope = Some(BitScope::Destination),
            ("track", "ip_pair") => scope = Some(BitScope::Pair),
            ("expire", number) => seconds = unsigned(number, span, u32::MAX)?,
            _ => {
                return Err(Mistake::new(Code::Value, *option, "neither `track ip_src|ip_dst|ip_pair` nor `expire n`"));
            }
        }
    }
    let scope =
        scope.ok_or_else(|| arg.wrong("`track` is missing").help("add `track ip_src`, `ip_dst` or `ip_pair`"))?;
    push_shared(draft, arg, verb, (scope, name), seconds);
    Ok(())
}

fn hostbits(draft: &mut Draft<'_>, arg: &Arg<'_>) -> Result<(), Mistake> {
    let parts = split(arg.rule, arg.unquoted(), b',');
    let (command, name, side) = match parts.as_slice() {
        [only] if arg.at(*only) == "noalert" => {
            draft.noalert = true;
            return Ok(());
        }
        [command, name] => (*command, *name, "src"),
        [command, name, side] => (*command, *name, arg.at(*side)),
        _ => return Err(arg.wrong("a command and a name are needed")),
    };
    let scope = match side {
        "src" => BitScope::Source,
        "dst" => BitScope::Destination,
        _ => return Err(arg.wrong("the side is `src` or `dst`")),
    };
    let verb = verb(arg, command)?;
    let name = NameId::of(name_of(arg, name)?);
    push_shared(draft, arg, verb, (scope, name), EXPIRE_SECONDS);
    Ok(())
}

//! Whatever stands in a rule file, it is read to its end and told about; nothing panics and no place lies outside.

use proptest::prelude::*;

use super::{Context, Options, Source, Vars, compile};

const RULES: [&str; 5] = [
    r#"alert tcp [1.1.1.1,!$HOME_NET] 1024: -> any [80,!443] (msg:"a\;b"; flow:to_server,established; content:!"|0d 0A|x\""; nocase; offset:3; depth:9; sid:1; rev:2;)"#,
    r#"drop udp any any <> 2001:db8::/32 53 (byte_test:2,!&,0x80,2,relative,string,hex; byte_jump:4,0,relative,align,post_offset -1; byte_extract:1,0,n; content:"x"; distance:n; within:5; sid:2;)"#,
    r#"alert http any any -> any any (http.uri; dotprefix; content:"/a"; startswith; pcre:"/^a(?=b)\x41{2,3}$/Ri"; threshold:type both, track by_src, count 1, seconds 2; sid:3;)"#,
    r#"pass ip any any -> any any (flags:S+,CE; dsize:1<>9; flowbits:isset,a|b; flowint:x,+,1; xbits:set,y,track ip_pair,expire 9; reference:url,x.y; metadata:a b, c d; classtype:z; sid:4;)"#,
    "alert tcp any any -> any any \\\n (msg:\"é|20|\"; \\\r\n content:\"é\"; isdataat:!1,relative; sid:5;)\n# comment\n",
];

fn read(text: String) {
    let context = Context { vars: Vars::standard(), ..Context::default() };
    let compiled = compile(&[Source::new("any.rules", text)], &context, &Options::default());
    assert!(compiled.loaded() + compiled.rejected.len() + compiled.replaced <= compiled.rules);
    for diagnostic in &compiled.diagnostics {
        assert!(diagnostic.line > 0 && diagnostic.column > 0);
        assert!(diagnostic.span.end <= diagnostic.excerpt.len());
        assert!(diagnostic.render(false).contains(diagnostic.code.as_str()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read(text in "[a-z0-9$!,;:()<>|\\[\\]\"\\\\/ \\n#é-]{0,160}") {
        read(text);
    }

    #[test]
    fn broken_rules_are_read(
        rule in prop::sample::select(RULES.to_vec()),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..4usize, "[a-z0-9$!,;:()<>|\\[\\]\"\\\\/ \\n#é-]{0,3}"), 1..5),
    ) {
        let mut text: Vec<char> = rule.chars().collect();
        for (at, removed, inserted) in edits {
            let at = at.index(text.len() + 1);
            let end = (at + removed).min(text.len());
            text.splice(at..end, inserted.chars());
        }
        read(text.into_iter().collect());
    }
}

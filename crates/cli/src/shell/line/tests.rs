use proptest::prelude::*;

use super::*;

fn words(text: &str) -> Vec<String> {
    match parse(text).unwrap().request {
        Request::Words(words) => words,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn words_are_quoted_as_in_a_posix_shell() {
    for (text, expected) in [
        ("list", vec!["list"]),
        ("  attach  a.img\tb.img ", vec!["attach", "a.img", "b.img"]),
        (r"attach 'a b.img' c\ d.img", vec!["attach", "a b.img", "c d.img"]),
        (r#"attach "a \"b\" \n" x"y"z"#, vec!["attach", r#"a "b" \n"#, "xyz"]),
        ("attach ''", vec!["attach", ""]),
        ("a # b", vec!["a"]),
        ("a b#c", vec!["a", "b#c"]),
        ("a \\\n b", vec!["a", "b"]),
        ("a b\\\nc", vec!["a", "bc"]),
    ] {
        assert_eq!(words(text), expected, "{text}");
    }
}

#[test]
fn json_is_a_word_as_it_stands() {
    for (text, expected) in [
        (r#"x {"a": "b c", "d": [1, 2]} y"#, vec!["x", r#"{"a": "b c", "d": [1, 2]}"#, "y"]),
        (r#"x a={"b": "} |"} c=1"#, vec!["x", r#"a={"b": "} |"}"#, "c=1"]),
        (r#"x a=["\"]"]"#, vec!["x", r#"a=["\"]"]"#]),
        (r"x a=b={c", vec!["x", "a=b={c"]),
        (r"x json:{a", vec!["x", "json:{a"]),
        (r#"x '{"a": 1}'"#, vec!["x", r#"{"a": 1}"#]),
    ] {
        assert_eq!(words(text), expected, "{text}");
    }
}

#[test]
fn a_message_is_json_alone() {
    let text = "{\"execute\": \"query-block\",\n \"arguments\": {}}";
    assert_eq!(parse(text).unwrap().request, Request::Message(text.to_owned()));
    let line = parse("- {'execute': 'stop'} | cat").unwrap();
    assert!(line.is_tolerant);
    assert_eq!(line.request, Request::Message("{'execute': 'stop'}".to_owned()));
    assert_eq!(line.sink, Sink::Pipe("cat".to_owned()));
    assert!(matches!(parse("{} x"), Err(LineError::Wrong(_))));
}

#[test]
fn output_goes_where_the_line_says() {
    let file = |path: &str, append| Sink::File { path: path.to_owned(), append };
    for (text, sink) in [
        ("query-block", Sink::Shell),
        ("query-block | jq '.[] | .device' > x", Sink::Pipe("jq '.[] | .device' > x".to_owned())),
        ("query-block>x", file("x", false)),
        ("query-block >> 'a b' # log", file("a b", true)),
        ("query-block \\> x '|'", Sink::Shell),
    ] {
        assert_eq!(parse(text).unwrap().sink, sink, "{text}");
    }
    for text in ["x |", "x >", "x > a b", "x > a | b", "| x", "> x", "x > ''"] {
        assert!(matches!(parse(text), Err(LineError::Wrong(_))), "{text}");
    }
}

#[test]
fn what_is_not_finished_goes_on() {
    for (text, open) in [
        ("x 'a", Open::Quote('\'')),
        ("x \"a\\", Open::Quote('"')),
        ("x a\\", Open::Backslash),
        ("{\"a\": [", Open::Json(Brackets { depth: 2, ..Brackets::default() })),
        ("x a={\"}", Open::Json(Brackets { depth: 1, quote: Some('"'), is_escaped: false })),
        ("x > 'a", Open::Quote('\'')),
    ] {
        assert_eq!(parse(text), Err(LineError::Unfinished(open)), "{text}");
    }
    assert_eq!(parse(" # x").unwrap().request, Request::Nothing);
    assert_eq!(parse("").unwrap().request, Request::Nothing);
}

#[test]
fn a_mark_of_tolerance_is_no_option() {
    for (text, is_tolerant) in [("-list", true), (" - list", true), ("--json list", false)] {
        assert_eq!(parse(text).unwrap().is_tolerant, is_tolerant, "{text}");
    }
}

#[test]
fn a_text_may_hold_several_lines() {
    for (text, lines) in [
        ("list", vec!["list"]),
        ("list # all\nstatus\n", vec!["list # all", "status", ""]),
        ("query-block | wc\nlist", vec!["query-block | wc", "list"]),
        ("{\"a\":\n1}\nx 'a\nb'", vec!["{\"a\":\n1}", "x 'a\nb'"]),
        (
            "{\"a\\\"\n}\", '}\n':\n[\n]} |\n cat\n}",
            vec!["{\"a\\\"\n}\", '}\n':\n[\n]} |", " cat", "}"],
        ),
        ("{\n} {\n}\nlist", vec!["{\n} {\n}", "list"]),
        ("list \\\n --json\nstatus {", vec!["list \\\n --json", "status {"]),
    ] {
        assert_eq!(split(text), lines, "{text}");
    }
}

#[test]
fn long_json_is_not_read_anew_for_each_row() {
    let text = format!("{{{}}}\nlist", " []\n".repeat(200_000));
    assert_eq!(split(&text).len(), 2);
}

#[test]
fn a_line_has_a_bound() {
    assert!(matches!(parse(&"x".repeat(MAX_LINE_BYTES + 1)), Err(LineError::Wrong(_))));
}

proptest! {
    #[test]
    fn no_line_is_too_odd(text in "[-a{}\\[\\]'\"\\\\|># =é\n]{0,24}") {
        let scan = scan(&text);
        for word in &scan.words {
            prop_assert!(text.get(word.span.clone()).is_some());
        }
    }
}

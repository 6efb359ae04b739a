//! Completions and man pages know every command.

use crate::node::{must, run, text};

/// As the help lists them.
fn commands() -> Vec<String> {
    let help = text(&must(&["--help"], b""));
    let listed = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names: Vec<String> = listed.lines().map(|line| line.split_whitespace().next().unwrap().to_owned()).collect();
    assert!(names.contains(&"agent".to_owned()) && names.len() > 10, "{names:?}");
    names.into_iter().filter(|name| name != "help").collect()
}

#[test]
fn completions_and_the_man_page_mention_every_command() {
    let commands = commands();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = text(&must(&["completions", shell], b""));
        for name in &commands {
            assert!(script.contains(name), "{shell} does not know {name}");
        }
        assert!(script.contains("start-join-addrs"), "{shell} does not know the flags");
    }
    let page = text(&must(&["man"], b""));
    for name in &commands {
        let escaped = name.replace('-', "\\-");
        assert!(page.contains(&format!("seedlog\\-{escaped}(1)")), "{name} is not in {page}");
        let own = text(&must(&["man", name], b""));
        assert!(own.starts_with(".ie") && own.contains(&format!(".TH seedlog-{name} 1")), "{own}");
    }
    let unknown = run(&["man", "nope"], b"");
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("no command \"nope\"; there are dev, agent"), "{}", text(&unknown.stderr));
}

#[test]
fn what_bash_is_given_is_bash() {
    let script = must(&["completions", "bash"], b"");
    let mut bash = std::process::Command::new("bash")
        .args(["-n", "/dev/stdin"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut bash.stdin.take().unwrap(), &script).unwrap();
    assert!(bash.wait().unwrap().success());
}

#[test]
fn the_help_of_every_command_has_examples_of_it() {
    for name in commands() {
        let help = text(&must(&[&name, "--help"], b""));
        let examples = help.split("Examples:\n").nth(1).unwrap_or_else(|| panic!("{name}: {help}"));
        assert!(examples.contains(&format!("seedlog {name}")), "{name}: {examples}");
    }
}

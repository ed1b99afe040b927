//! What is never printed.

use std::path::Path;

use flagstone_layers::kernel::PrepareError;
use flagstone_pipeline::{Format, Planned};
use insta::assert_snapshot;

use super::*;

/// Everything a report says, in all formats.
fn everything(planned: &Planned) -> String {
    [Format::Human, Format::Short, Format::Json].map(|format| planned.report.render(format, true)).concat()
}

#[test]
fn a_secret_near_a_fault_is_masked() {
    let text = changed(
        "[chains]\n",
        "[layers.vault]\nkind = \"vault\"\npassword = \"hünter2\"\ncount = \"many\"\n\n[x-notes]\napi_key = 'topsecret'\n\n[chains]\nlogin = [\"@edge\", \"vualt\"]\n",
    );
    let planned = planned(&text);
    assert_snapshot!(planned.report.render(Format::Human, false));
    assert!(!everything(&planned).contains("hünter2"));
}

#[test]
fn a_secret_on_the_very_line_of_a_fault_is_masked() {
    for line in [
        "password = \"hunter2long\", typo = 1",
        "client_secret = \"hunter2long\", typo = 1",
        "x-token = 'hunter2long', typo = 1",
        "signing_keys = [\"hunter2long\"], typo = 1",
        "nested = { auth_token = \"hunter2long\" }, typo = 1",
        "password = { env = \"P\", default = \"hunter2long\" }, typo = 1",
        "key = \"hunter2long\", typo = 1",
    ] {
        let text = changed("override.cors = { origins = \"*\" }", &format!("override.cors = {{ {line} }}"));
        let said = everything(&planned(&text));
        assert!(said.contains("typo") && !said.contains("hunter2"), "{line}: {said}");
    }
}

#[test]
fn a_secret_in_a_file_that_is_not_toml_is_masked() {
    for line in [
        "password = \"hunter2",
        "password = \"hunter2\" oops",
        "\"api-key\" = 'hunter2' oops",
        "a = { user = \"u\", password = \"hunter2\" oops }",
        "password = \"\"\"\nhunter2\nhunter2\n\"\"\" oops",
        "password = '''\nhunter2\n",
        "layers.x.token = \"hunter2\" oops",
    ] {
        let planned = planned(&format!("version = 1\n{line}\nkind == 1\n"));
        assert_eq!(planned.report.diagnostics[0].code, "syntax", "{line}");
        assert!(!everything(&planned).contains("hunter2"), "{line}: {}", everything(&planned));
    }
}

#[test]
fn what_a_layer_counts_by_is_no_secret() {
    let text = changed("key = \"principal\"", "key = \"principle\"");
    assert!(human(&text).contains("key = \"principle\""), "{}", human(&text));
}

#[test]
fn what_a_layer_says_of_a_secret_is_redacted() {
    let text =
        changed("[chains]\n", "[layers.vault]\nkind = \"vault\"\npassword = \"short\\\"\"\n\n[chains]\n");
    let said = everything(&planned(&text));
    assert!(said.contains("is too short") && !said.contains("short\\"), "{said}");

    let text = changed("\"https://app.example\"]", "{ env = \"ORIGINS\" }]\ncredentials = true");
    let planned = plan_with(Path::new("pipeline.toml"), text.as_bytes(), &[("ORIGINS", "https://hidden//*")]);
    let said = everything(&planned);
    assert!(said.contains("credentials cannot go to") && !said.contains("hidden"), "{said}");
}

#[test]
fn what_stops_a_layer_from_being_prepared_is_redacted() {
    let text = changed("\"https://app.example\"]", "{ env = \"ORIGINS\" }]");
    let planned = plan_with(Path::new("pipeline.toml"), text.as_bytes(), &[("ORIGINS", "https://hidden")]);
    let plan = planned.plan.unwrap();
    let instance = plan.instances.iter().find(|instance| &*instance.name == "cors").unwrap();
    let error =
        PrepareError::new("origins", "https://hidden cannot be reached").help("is https://hidden up?");
    let found = instance.prepare_failed(&error);
    assert_eq!(found.message, "`cors` cannot be prepared: … cannot be reached");
    assert_eq!(found.help.as_deref(), Some("is … up?"));
    assert_eq!((found.code, found.line, found.column), ("prepare-failed", 14, 11));
    assert!(!format!("{plan:?}").contains("hidden"));
}

//! What all ways to evaluate have to agree on.

use flagstone_engine::{Context, Environment, ErrorCode};

/// Every flag answers, and its trace says the same.
pub(crate) fn evaluate_all(environment: &Environment, context: &Context<'_>, sound: bool) {
    let evaluator = environment.evaluator(context);
    let mut count = 0;
    for resolution in evaluator.flags() {
        count += 1;
        let key = resolution.flag.key();
        let trace = environment.trace(key, context).expect("the flag is there");
        assert_eq!(trace.reason, resolution.reason, "{key}");
        assert_eq!(trace.error, resolution.error, "{key}");
        assert_eq!(trace.variant.as_deref(), resolution.variant.map(|it| it.key()), "{key}");
        assert_eq!(trace.rule.map(|it| it.index), resolution.rule.map(|it| it.index), "{key}");
        let alone = environment.evaluate(key, context).expect("the flag is there");
        assert_eq!(alone.variant.map(|it| it.key()), resolution.variant.map(|it| it.key()), "{key}");
        let general = resolution.error == Some(ErrorCode::General);
        assert!(!(sound && general), "{key} was accepted and cannot be evaluated");
        serde_json::to_string(&environment.trace(key, context)).expect("a trace is JSON");
    }
    assert_eq!(count, environment.flags().len());
}

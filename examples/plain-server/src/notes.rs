//! The notes, and the routes to them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flagstone_layers::kernel::{
    Access, Body, BodyError, Exchange, Next, Problem, Request, Response, RouteSpec, handler,
};
use http::{HeaderValue, Method, StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};

/// All notes, in memory.
#[derive(Default)]
pub(crate) struct Notes {
    texts: Mutex<Vec<String>>,
}

impl Notes {
    fn texts(&self) -> MutexGuard<'_, Vec<String>> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The routes to health and notes. Each says who may call it; a pipeline that does not prove that is refused.
pub(crate) fn routes(notes: &Arc<Notes>) -> Vec<(RouteSpec, Next)> {
    let with_notes = |answer: fn(&Notes, &Exchange) -> Response| {
        let notes = Arc::clone(notes);
        handler(move |request| {
            let notes = Arc::clone(&notes);
            async move { answer(&notes, request.exchange()) }
        })
    };
    let notes = Arc::clone(notes);
    vec![
        (
            RouteSpec::new(Method::GET, "/health", "health", Access::Public),
            with_notes(|_, _| answer(StatusCode::OK, &json!({ "status": "ok" }))),
        ),
        (RouteSpec::new(Method::GET, "/notes", "notes.list", Access::AnyKey), with_notes(list)),
        (RouteSpec::new(Method::GET, "/notes/{id}", "notes.read", Access::AnyKey), with_notes(read)),
        (
            RouteSpec::new(Method::POST, "/notes", "notes.add", Access::ServerKey),
            handler(move |request| add(Arc::clone(&notes), request)),
        ),
    ]
}

fn list(notes: &Notes, _: &Exchange) -> Response {
    let texts = notes.texts();
    let list: Vec<Value> =
        texts.iter().enumerate().map(|(id, text)| json!({ "id": id, "text": text })).collect();
    answer(StatusCode::OK, &list.into())
}

fn read(notes: &Notes, exchange: &Exchange) -> Response {
    let id = exchange.parameter("id").and_then(|id| id.parse::<usize>().ok());
    match id.and_then(|id| notes.texts().get(id).cloned()) {
        Some(text) => answer(StatusCode::OK, &json!({ "id": id, "text": text })),
        None => Problem::new(StatusCode::NOT_FOUND, "NO_SUCH_NOTE", "There is no note of this id.")
            .into_response(exchange),
    }
}

async fn add(notes: Arc<Notes>, request: Request) -> Response {
    let exchange = Arc::clone(request.exchange());
    let (_, body) = request.into_parts();
    let text = match body.read().await {
        Ok(bytes) => String::from_utf8(bytes.into()),
        Err(error) => return body_problem(&error).into_response(&exchange),
    };
    let Ok(text) = text else {
        return Problem::new(StatusCode::BAD_REQUEST, "NOT_TEXT", "A note is text in UTF-8.")
            .into_response(&exchange);
    };
    let id = {
        let mut texts = notes.texts();
        texts.push(text.clone());
        texts.len() - 1
    };
    answer(StatusCode::CREATED, &json!({ "id": id, "text": text }))
}

/// Why a body could not be read. How large and how slow it may be is said in the pipeline.
fn body_problem(error: &BodyError) -> Problem {
    let (status, code) = match error {
        BodyError::TooLarge(_) | BodyError::TooDense(_) => (StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE"),
        BodyError::TooSlow(_) => (StatusCode::REQUEST_TIMEOUT, "BODY_TIMEOUT"),
        BodyError::Broken(_) => (StatusCode::BAD_REQUEST, "BODY_BROKEN"),
    };
    Problem::new(status, code, error.to_string())
}

fn answer(status: StatusCode, value: &Value) -> Response {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

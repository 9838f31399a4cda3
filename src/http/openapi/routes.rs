//! The table of routes: what is answered, where, and by which function.

use std::time::Duration;

use axum::{
    Router,
    extract::Request,
    handler::Handler,
    middleware,
    response::IntoResponse,
    routing::{MethodFilter, Route, on},
};
use tower::{Layer, Service};

use super::{Input, Operation, Output};
use crate::{
    app::App,
    http::{answer_in_time, codes::Code, etag},
};

/// Makes [`Routes`] of rows: words, method, path and handler, and which problems it may find that
/// do not follow from what it asks for. The first paragraph of the words is the summary.
macro_rules! routes {
    ($area:literal $(
        $(#[doc = $words:literal])+
        $method:ident $path:literal => $handler:path $([$($code:ident)+])?;
    )+) => {
        $crate::http::openapi::Routes::default()$(.add(
            $crate::http::openapi::Row {
                area: $area,
                words: concat!($($words, "\n"),+),
                method: axum::routing::MethodFilter::$method,
                method_name: stringify!($method),
                path: $path,
                problems: &[$($($crate::http::codes::$code),+)?],
            },
            $handler,
        ))+
    };
}
pub(in crate::http) use routes;

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct Row {
    /// What it belongs to.
    pub area: &'static str,
    pub words: &'static str,
    pub method: MethodFilter,
    pub method_name: &'static str,
    pub path: &'static str,
    /// The problems that are its own.
    pub problems: &'static [Code],
}

/// A row, with what follows from its handler's type.
#[derive(Clone, Debug)]
pub(super) struct Described {
    pub(super) row: Row,
    /// In front of the path.
    pub(super) prefix: &'static str,
    /// The name of the handler: part of the `operationId`, by which clients know a route. Whoever
    /// renames a handler renames it for them.
    pub(super) name: &'static str,
    /// Whether what a client has already is not sent again.
    pub(super) is_conditional: bool,
    /// Whether the answer may take too long.
    pub(super) is_timed: bool,
    pub(super) describe: fn(&mut Operation<'_>),
}

/// What is answered, and how it is described.
#[derive(Debug, Default)]
pub(in crate::http) struct Routes {
    router: Router<App>,
    table: Vec<Described>,
}

impl Routes {
    pub(in crate::http) fn add<T, In, Out, H>(mut self, row: Row, handler: H) -> Self
    where
        T: 'static,
        H: Handler<T, App> + Describes<In, Out>,
    {
        let path = std::any::type_name::<H>();
        let name = path.rsplit("::").next().unwrap_or(path);
        let describe = H::describe;
        self.router = self.router.route(row.path, on(row.method, handler));
        let (is_conditional, is_timed) = (false, false);
        self.table.push(Described { row, prefix: "", name, is_conditional, is_timed, describe });
        self
    }

    pub(in crate::http) fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.table.extend(other.table);
        self
    }

    /// Puts all paths behind a prefix.
    pub(in crate::http) fn below(mut self, prefix: &'static str) -> Self {
        self.router = Router::new().nest(prefix, self.router);
        for described in &mut self.table {
            assert_eq!(described.prefix, "", "one prefix is enough");
            described.prefix = prefix;
        }
        self
    }

    /// Has what a client has already not sent again.
    pub(in crate::http) fn conditional(self) -> Self {
        let mut routes = self.layer(middleware::from_fn(etag::if_changed));
        for described in &mut routes.table {
            described.is_conditional = described.row.method == MethodFilter::GET;
        }
        routes
    }

    /// Gives up on whatever is not answered within `limit`.
    pub(in crate::http) fn within(self, limit: Duration) -> Self {
        let mut routes = self.layer(middleware::from_fn_with_state(limit, answer_in_time));
        for described in &mut routes.table {
            described.is_timed = true;
        }
        routes
    }

    /// Puts something around all of them that the document does not speak of.
    pub(in crate::http) fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Route> + Clone + Send + Sync + 'static,
        L::Service: Service<Request> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request>>::Response: IntoResponse + 'static,
        <L::Service as Service<Request>>::Error: Into<std::convert::Infallible> + 'static,
        <L::Service as Service<Request>>::Future: Send + 'static,
    {
        self.router = self.router.layer(layer);
        self
    }

    pub(in crate::http) fn into_router(self) -> Router<App> {
        self.router
    }

    pub(super) fn table(&self) -> &[Described] {
        &self.table
    }
}

/// A handler whose arguments and answer are known to the document.
pub(in crate::http) trait Describes<In, Out> {
    fn describe(operation: &mut Operation<'_>);
}

macro_rules! describes {
    ($($input:ident)*) => {
        impl<F, Answer, Out, $($input),*> Describes<($($input,)*), Out> for F
        where
            F: Fn($($input),*) -> Answer,
            Answer: Future<Output = Out>,
            $($input: Input,)*
            Out: Output,
        {
            fn describe(operation: &mut Operation<'_>) {
                $($input::describe(operation);)*
                Out::describe(operation);
            }
        }
    };
}

describes! {}
describes! { A }
describes! { A B }
describes! { A B C }
describes! { A B C D }
describes! { A B C D E }

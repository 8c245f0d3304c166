//! The routes in the program's own axum.

use std::time::Duration;

use axum::{Router, body::Body, routing::get};
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use memscope_server::{builder, router};
use memscope_tests::{alone_without_names, conserved};
use tower::ServiceExt;

use crate::ALLOCATOR;

fn app() -> Router {
    Router::new().route("/", get(async || "shop")).nest("/memscope", router())
}

async fn ask(app: Router, path: &str, host: &str) -> Response<Body> {
    let request = Request::get(path).header(header::HOST, host).body(Body::empty());
    app.oneshot(request.expect("a request")).await.expect("an answer")
}

async fn text(response: Response<Body>) -> String {
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    String::from_utf8(body.to_vec()).expect("text")
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(work)
}

#[test]
fn it_answers_beside_the_programs_own_routes_whatever_the_host_is_called() {
    let _alone = alone_without_names();
    block_on(async {
        assert_eq!(text(ask(app(), "/", "shop.example").await).await, "shop");
        let page = ask(app(), "/memscope/page", "shop.example").await;
        assert_eq!(page.status(), StatusCode::OK);
        assert_eq!(text(page).await, memscope_export::live_page());
        assert_eq!(ask(app(), "/memscope/none", "a").await.status(), StatusCode::NOT_FOUND);
        for path in ["/memscope/snapshot.json", "/memscope/metrics", "/memscope/debug/pprof/heap"] {
            let answer = ask(app(), path, "shop.example").await;
            assert_eq!(answer.status(), StatusCode::OK, "{path}");
            assert_eq!(answer.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        }
    });
}

#[test]
fn from_a_path_without_a_slash_the_browser_is_led_to_the_page() {
    let _alone = alone_without_names();
    block_on(async {
        let answer = ask(app(), "/memscope?token=x", "shop.example").await;
        assert_eq!(answer.status(), StatusCode::PERMANENT_REDIRECT);
        assert_eq!(answer.headers()[header::LOCATION], "./memscope/page?token=x");
        let app = Router::new().nest("/memscope/", router());
        assert_eq!(ask(app, "/memscope/", "shop.example").await.status(), StatusCode::OK);
    });
}

#[test]
fn a_token_is_asked_for_there_as_well() {
    let _alone = alone_without_names();
    let app = || Router::new().nest("/memscope", builder().token("t").router());
    block_on(async {
        let without = ask(app(), "/memscope/metrics", "shop.example").await;
        assert_eq!(without.status(), StatusCode::UNAUTHORIZED);
        let with = ask(app(), "/memscope/metrics?token=t", "shop.example").await;
        assert_eq!(with.status(), StatusCode::OK);
    });
}

#[test]
fn what_the_answers_are_made_of_is_memscopes_and_the_sums_hold() {
    let _alone = alone_without_names();
    block_on(async {
        // The first answer allocates what is made once.
        drop(text(ask(app(), "/memscope/report.html", "a").await).await);
        drop(conserved(&ALLOCATOR));
        let before = conserved(&ALLOCATOR).process().untracked_bytes;
        let mut held = Vec::with_capacity(8);
        for _ in 0..3 {
            held.push(ask(app(), "/memscope/report.html", "a").await);
            held.push(ask(app(), "/memscope/snapshot.json", "a").await);
            // After a second the next round gets another snapshot.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let after = conserved(&ALLOCATOR);
        let grown = after.process().untracked_bytes.saturating_sub(before);
        // Three pages are close to a megabyte.
        assert!(grown < 100_000, "{grown} bytes became the program's");
        assert!(after.tool().heap_bytes > 700_000, "{:?}", after.tool());
        drop(held);
        drop(conserved(&ALLOCATOR));
    });
}

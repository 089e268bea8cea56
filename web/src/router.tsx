import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from "@tanstack/react-router";
import * as search from "./search";
import { NoSuchPage } from "./shell/NoSuchPage";
import { Shell } from "./shell/Shell";
import { Problem } from "./ui/Problem";

const root = createRootRoute({ component: Shell });

const library = createRoute({
	getParentRoute: () => root,
	path: "/",
	validateSearch: search.library,
	component: lazyRouteComponent(() => import("./screens/library/Library")),
});

const model = createRoute({
	getParentRoute: () => root,
	path: "/models/$model",
	// Another model is another screen, which shows nothing of the one before.
	remountDeps: ({ params }) => params,
	component: lazyRouteComponent(() => import("./screens/model/Model")),
});

const version = createRoute({
	getParentRoute: () => root,
	path: "/models/$model/versions/$number",
	remountDeps: ({ params }) => params,
	validateSearch: search.version,
	component: lazyRouteComponent(() => import("./screens/version/Version")),
});

const layer = createRoute({
	getParentRoute: () => root,
	path: "/models/$model/versions/$number/layers/$layer",
	remountDeps: ({ params }) => params,
	validateSearch: search.layer,
	component: lazyRouteComponent(() => import("./screens/layer/Layer")),
});

const compare = createRoute({
	getParentRoute: () => root,
	path: "/compare",
	validateSearch: search.compare,
	component: lazyRouteComponent(() => import("./screens/compare/Compare")),
});

const build = createRoute({
	getParentRoute: () => root,
	path: "/build",
	component: lazyRouteComponent(() => import("./screens/build/Build")),
});

const tryOut = createRoute({
	getParentRoute: () => root,
	path: "/try",
	validateSearch: search.tryOut,
	component: lazyRouteComponent(() => import("./screens/try/Try")),
});

const ask = createRoute({
	getParentRoute: () => root,
	path: "/ask",
	validateSearch: search.ask,
	component: lazyRouteComponent(() => import("./screens/ask/Ask")),
});

const datasets = createRoute({
	getParentRoute: () => root,
	path: "/datasets",
	component: lazyRouteComponent(() => import("./screens/datasets/Datasets")),
});

const dataset = createRoute({
	getParentRoute: () => root,
	path: "/datasets/$name",
	remountDeps: ({ params }) => params,
	validateSearch: search.dataset,
	component: lazyRouteComponent(() => import("./screens/datasets/Dataset")),
});

const jobs = createRoute({
	getParentRoute: () => root,
	path: "/jobs",
	validateSearch: search.jobs,
	component: lazyRouteComponent(() => import("./screens/jobs/Jobs")),
});

const settings = createRoute({
	getParentRoute: () => root,
	path: "/settings",
	component: lazyRouteComponent(() => import("./screens/settings/Settings")),
});

export const router = createRouter({
	routeTree: root.addChildren([
		library,
		model,
		version,
		layer,
		compare,
		build,
		tryOut,
		ask,
		datasets,
		dataset,
		jobs,
		settings,
	]),
	defaultNotFoundComponent: NoSuchPage,
	defaultErrorComponent: ({ error, reset }) => (
		<Problem error={error instanceof Error ? error : new Error(String(error))} retry={reset} />
	),
	scrollRestoration: true,
});

declare module "@tanstack/react-router" {
	interface Register {
		router: typeof router;
	}
}

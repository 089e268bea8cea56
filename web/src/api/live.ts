import { createClient } from "graphql-ws";
import { useEffect, useRef, useSyncExternalStore } from "react";
import { graphql } from "../gql";
import type { TypedDocumentString } from "../gql/graphql";
import { readAgain } from "./queries";
import { type GraphqlError, RequestError } from "./request";

const JOBS_CHANGED = graphql(`
	subscription JobsChanged {
		jobs {
			id
			status
			progress
		}
	}
`);

/** Waits between attempts to connect, in milliseconds; the last one is repeated. */
const WAITS = [250, 500, 1_000, 2_000, 5_000];

/** The code with which the server closes the socket of somebody whom it does not know. */
const REFUSED = 4403;

const url = new URL("/graphql/ws", window.location.href);
url.protocol = url.protocol === "https:" ? "wss:" : "ws:";

/** One socket for everything that is live. It connects when something listens. */
const client = createClient({
	url: url.href,
	retryAttempts: Number.POSITIVE_INFINITY,
	// Not where the server refuses the reader: signing in loads the page again.
	shouldRetry: (event) => !(event instanceof CloseEvent && event.code === REFUSED),
	retryWait: async (attempt) => {
		const milliseconds = WAITS[Math.min(attempt, WAITS.length - 1)];
		await new Promise((resolve) => setTimeout(resolve, milliseconds));
	},
	// After a lost connection, changes may have been missed: read first, then listen.
	on: { connected: (_socket, _payload, wasRetry) => wasRetry && void readAgain() },
});

/** The events of a subscription until it ends or is left. */
export function subscribe<Data, Variables extends Record<string, unknown>>(
	document: TypedDocumentString<Data, Variables>,
	variables: Variables,
	sink: { next: (data: Data) => void; error: (error: Error) => void; complete: () => void },
): () => void {
	// As in requests over HTTP, but the protocol requires a query.
	const named = { query: "", extensions: { documentId: document.__meta__?.hash } };
	return client.subscribe<Data>(
		{ ...(import.meta.env.DEV ? { query: document.toString() } : named), variables },
		{
			next: ({ data, errors }) => {
				const [error] = errors ?? [];
				if (error) sink.error(new RequestError(error.message, String(error.extensions?.code ?? "INTERNAL")));
				else if (data) sink.next(data);
			},
			error: (reason) => sink.error(problem(reason)),
			complete: sink.complete,
		},
	);
}

/** What ended a subscription: errors of the server, or an event of the socket. */
function problem(reason: unknown): Error {
	const [error] = Array.isArray(reason) ? (reason as GraphqlError[]) : [];
	return error
		? new RequestError(error.message, error.extensions?.code ?? "INTERNAL")
		: new RequestError("The connection was lost.", "OFFLINE");
}

const ENDED = new Set(["SUCCEEDED", "FAILED", "CANCELLED"]);

let changes = 0;
const watchers = new Set<() => void>();
let stop: (() => void) | null = null;

function watch(watcher: () => void): () => void {
	watchers.add(watcher);
	stop ??= listen();
	return () => {
		watchers.delete(watcher);
		if (watchers.size === 0) {
			stop?.();
			stop = null;
		}
	};
}

function listen(): () => void {
	// What came before may have been missed.
	const again = (error?: Error) => {
		stop = null;
		if (error instanceof RequestError && error.code === "UNAUTHENTICATED") return;
		setTimeout(() => {
			if (watchers.size > 0) stop ??= listen();
			void readAgain();
		}, WAITS.at(-1));
	};
	return subscribe(
		JOBS_CHANGED,
		{},
		{
			next: ({ jobs }) => {
				changes += 1;
				// What a job wrote may be anywhere.
				if (ENDED.has(jobs.status)) readSoon();
				for (const notify of watchers) notify();
			},
			error: again,
			complete: again,
		},
	);
}

/** The least time between two readings, in milliseconds: where many short jobs end, a list would never rest. */
const PAUSE = 2_000;

let lastReading = Number.NEGATIVE_INFINITY;
let isDue = false;

/** Reads again what is shown: at once, or when the pause after the last reading is over. */
function readSoon() {
	if (isDue) return;
	isDue = true;
	setTimeout(
		() => {
			isDue = false;
			lastReading = performance.now();
			void readAgain();
		},
		Math.max(0, lastReading + PAUSE - performance.now()),
	);
}

/** A number that changes whenever a job does. */
function useJobFeed(): number {
	return useSyncExternalStore(watch, () => changes);
}

/** Reads again when a job has changed: one reading at a time, and once more if something changed meanwhile. */
export function useJobChanges(read: (options: { cancelRefetch: boolean }) => Promise<unknown>) {
	const change = useJobFeed();
	const state = useRef({ isReading: false, isOutdated: false });
	useEffect(() => {
		const { current } = state;
		if (change === 0) return;
		current.isOutdated = true;
		if (current.isReading) return;
		current.isReading = true;
		void (async () => {
			while (current.isOutdated) {
				current.isOutdated = false;
				await read({ cancelRefetch: false });
			}
			current.isReading = false;
		})();
	}, [change, read]);
}

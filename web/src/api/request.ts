import type { TypedDocumentString } from "../gql/graphql";

/** What went wrong with a request. */
export class RequestError extends Error {
	override name = "RequestError";

	constructor(
		message: string,
		/** One of the API's error codes, or `OFFLINE` if no answer came. */
		readonly code: string,
		/** Names the request in the server's log. */
		readonly requestId: string | null = null,
		/** Seconds after which to try again. */
		readonly retryAfter: number | null = null,
	) {
		super(message);
	}
}

/** An error of an answer. */
export interface GraphqlError {
	message: string;
	extensions?: { code?: string };
}

/** Executes a document of the page. */
export async function request<Data, Variables>(
	document: TypedDocumentString<Data, Variables>,
	variables: Variables,
	signal?: AbortSignal,
): Promise<Data> {
	const answer = await send(body(document, variables), signal ?? null);
	const requestId = answer.headers.get("x-request-id");
	const text = await answer.text();
	let content: { data?: Data | null; errors?: GraphqlError[] };
	try {
		content = JSON.parse(text);
	} catch {
		throw new RequestError(text.trim() || answer.statusText, codeOfStatus(answer.status), requestId);
	}
	const [error] = content.errors ?? [];
	if (error) {
		const retryAfter = Number(answer.headers.get("retry-after")) || null;
		throw new RequestError(error.message, error.extensions?.code ?? "INTERNAL", requestId, retryAfter);
	}
	return content.data as Data;
}

async function send(body: string, signal: AbortSignal | null): Promise<Response> {
	try {
		return await fetch("/graphql", {
			method: "POST",
			// The last one cannot be sent by pages of other sites, so the server takes the session's cookie with it.
			headers: {
				"content-type": "application/json",
				accept: "application/graphql-response+json",
				"graphql-preflight": "1",
			},
			body,
			signal,
		});
	} catch (error) {
		if (signal?.aborted) throw error;
		throw new RequestError("The server cannot be reached.", "OFFLINE");
	}
}

function body<Data, Variables>(document: TypedDocumentString<Data, Variables>, variables: Variables): string {
	// The server was built with the page and knows its documents by their hashes; while the page is developed, it does not.
	return import.meta.env.DEV
		? JSON.stringify({ query: document.toString(), variables })
		: JSON.stringify({ documentId: document.__meta__?.hash, variables });
}

function codeOfStatus(status: number): string {
	return status === 413 ? "PAYLOAD_TOO_LARGE" : status === 503 || status === 429 ? "OVERLOADED" : "INTERNAL";
}

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

async function send(body: string | FormData, signal: AbortSignal | null): Promise<Response> {
	// The last one cannot be sent by pages of other sites, so the server takes the session's cookie with it.
	const headers = { accept: "application/graphql-response+json", "graphql-preflight": "1" };
	// The browser itself names the boundary of a form.
	const type = typeof body === "string" ? { "content-type": "application/json" } : {};
	try {
		return await fetch("/graphql", { method: "POST", headers: { ...headers, ...type }, body, signal });
	} catch (error) {
		if (signal?.aborted) throw error;
		throw new RequestError(typeof body === "string" ? "The server cannot be reached." : NOT_SENT, "OFFLINE");
	}
}

/** Browsers do not say which of the two it was. */
const NOT_SENT = "The file was not sent: the connection was lost, or the file has changed since it was chosen.";

/** A request as JSON, or as a form if its variables have files (the GraphQL multipart request specification). */
function body<Data, Variables>(
	document: TypedDocumentString<Data, Variables>,
	variables: Variables,
): string | FormData {
	const files: { path: string; file: Blob }[] = [];
	const operations = JSON.stringify({ ...named(document), variables: withoutFiles(variables, "variables", files) });
	if (files.length === 0) return operations;
	const form = new FormData();
	form.append("operations", operations);
	form.append("map", JSON.stringify(Object.fromEntries(files.map(({ path }, index) => [index, [path]]))));
	for (const [index, { file }] of files.entries()) form.append(String(index), file);
	return form;
}

/** The server was built with the page and knows its documents by their hashes; while the page is developed, it does not. */
function named<Data, Variables>(document: TypedDocumentString<Data, Variables>) {
	return import.meta.env.DEV ? { query: document.toString() } : { documentId: document.__meta__?.hash };
}

/** Variables with null in the place of files, which are collected with their paths. */
export function withoutFiles(value: unknown, path: string, files: { path: string; file: Blob }[]): unknown {
	if (value instanceof Blob) {
		files.push({ path, file: value });
		return null;
	}
	if (Array.isArray(value)) return value.map((entry, index) => withoutFiles(entry, `${path}.${index}`, files));
	if (typeof value === "object" && value !== null) {
		const members = Object.entries(value);
		return Object.fromEntries(members.map(([name, member]) => [name, withoutFiles(member, `${path}.${name}`, files)]));
	}
	return value;
}

function codeOfStatus(status: number): string {
	return status === 413 ? "PAYLOAD_TOO_LARGE" : status === 503 || status === 429 ? "OVERLOADED" : "INTERNAL";
}

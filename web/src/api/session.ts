import { queries } from "./queries";
import { RequestError } from "./request";

/** Signs in with a token. The server answers with a cookie that the page itself cannot read. */
export async function signIn(token: string): Promise<void> {
	await change("POST", { authorization: `Bearer ${token.trim()}` });
}

/** Ends the session. */
export async function signOut(): Promise<void> {
	await change("DELETE", {});
}

async function change(method: "POST" | "DELETE", headers: Record<string, string>) {
	const answer = await fetch("/session", { method, headers: { ...headers, "graphql-preflight": "1" } }).catch(
		() => null,
	);
	if (!answer) throw new RequestError("The server cannot be reached.", "OFFLINE");
	if (!answer.ok) {
		const message = (await answer.text()).trim();
		throw new RequestError(message, answer.status === 401 ? "UNAUTHENTICATED" : "FORBIDDEN");
	}
	// Another reader sees other things.
	queries.clear();
	await queries.invalidateQueries();
	window.location.reload();
}

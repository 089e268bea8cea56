import { RequestError } from "../api/request";
import { SignIn } from "../shell/SignIn";
import { CopyButton } from "./CopyButton";
import "./Problem.css";

/** What the reader can do about an error, by its code. */
const ADVICE: Record<string, string> = {
	FORBIDDEN: "Your token does not allow this.",
	QUERY_TOO_COMPLEX: "Narrow the selection, then try again.",
	OVERLOADED: "The server is busy.",
	TIMEOUT: "This took too long. Narrow the selection, or try again.",
	OFFLINE: "Check that the server is running, then try again.",
	INTERNAL: "This is a fault of the server. Its log has the details.",
};

/** An error of the page itself, whose message says all. */
const OWN = { code: "", requestId: null, retryAfter: null };

/** An error, in the place of what could not be shown. */
export function Problem({ error, retry }: { error: Error; retry?: () => void }) {
	const { code, requestId, retryAfter } = error instanceof RequestError ? error : OWN;
	return (
		<div className="problem" role="alert">
			<p>{error.message}</p>
			{code === "UNAUTHENTICATED" && <SignIn />}
			{ADVICE[code] && <p className="quiet">{ADVICE[code]}</p>}
			{retryAfter !== null && <p className="quiet">Try again in {retryAfter} seconds.</p>}
			{code === "INTERNAL" && requestId && (
				<p className="quiet">
					Request <code>{requestId}</code> <CopyButton text={requestId} />
				</p>
			)}
			{retry && (
				<button type="button" onClick={retry}>
					Try again
				</button>
			)}
		</div>
	);
}

import { lazy, Suspense, useEffect, useState } from "react";
import { subscribe } from "../../api/live";
import { graphql } from "../../gql";
import { Skeleton } from "../../ui/Answer";
import { Problem } from "../../ui/Problem";

// Raw HTML in the text is shown as text.
const Markdown = lazy(() => import("react-markdown"));

const EXPLANATION = graphql(`
	subscription Explanation($layer: ID!, $other: ID!) {
		explanation(layerId: $layer, otherLayerId: $other) {
			text
			explanation {
				text
				source
				model
				fallbackReason
			}
		}
	}
`);

interface Author {
	text: string;
	/** Why it is not a language model, for administrators. */
	reason: string | undefined;
}

interface State {
	text: string;
	by: Author | null;
	error: Error | null;
}

const EMPTY: State = { text: "", by: null, error: null };

/** Why two layers may compute the same, as it is being written. */
export function Explanation({ layer, other }: { layer: string; other: string }) {
	const [{ text, by, error }, setState] = useState(EMPTY);
	useEffect(() => {
		setState(EMPTY);
		return subscribe(
			EXPLANATION,
			{ layer, other },
			{
				next: ({ explanation: { text, explanation } }) =>
					setState((before) =>
						// The last part has the whole, which rules may have written in place of the parts.
						explanation
							? { text: explanation.text, by: author(explanation), error: null }
							: { ...before, text: before.text + (text ?? "") },
					),
				error: (error) => setState((before) => ({ ...before, error })),
				complete: () => {},
			},
		);
	}, [layer, other]);
	return (
		<section aria-label="Explanation" aria-live="polite" aria-busy={by === null}>
			{text === "" && !error && <Skeleton rows={4} />}
			<Suspense fallback={<Skeleton rows={4} />}>{text !== "" && <Markdown>{text}</Markdown>}</Suspense>
			{by && (
				<p className="quiet" title={by.reason}>
					{by.text}
				</p>
			)}
			{error && <Problem error={error} />}
		</section>
	);
}

function author({ source, model, fallbackReason }: AuthorFacts): Author {
	const text =
		source === "LLM" ? `Written by ${model}, which can make mistakes.` : "Written by rules from the measured facts.";
	return { text, reason: fallbackReason ?? undefined };
}

interface AuthorFacts {
	source: string;
	model?: string | null;
	fallbackReason?: string | null;
}

import type { ReactNode } from "react";
import { useChange } from "../../api/queries";
import { graphql } from "../../gql";
import { Empty } from "../../ui/Answer";
import { Problem } from "../../ui/Problem";

const EVALUATE = graphql(`
	mutation Evaluate($input: EvaluateVersionInput!) {
		evaluateVersion(input: $input) {
			job {
				id
			}
		}
	}
`);

interface NotEvaluatedProps {
	version: { id: string; status: string };
	children: ReactNode;
}

/** Says that a version is not evaluated, and offers to do so. */
export function NotEvaluated({ version, children }: NotEvaluatedProps) {
	const evaluate = useChange(EVALUATE);
	return (
		<Empty>
			{children}{" "}
			{version.status === "READY" && (
				<button
					type="button"
					className="primary"
					disabled={evaluate.isPending || evaluate.isSuccess}
					onClick={() => evaluate.mutate({ input: { versionId: version.id } })}
				>
					{evaluate.isSuccess ? "Evaluating" : "Evaluate"}
				</button>
			)}
			{evaluate.error && <Problem error={evaluate.error} />}
		</Empty>
	);
}

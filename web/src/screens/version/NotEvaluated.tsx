import { Link } from "@tanstack/react-router";
import { type ReactNode, useCallback } from "react";
import { useJobChanges } from "../../api/live";
import { useChange, useDocument } from "../../api/queries";
import { graphql } from "../../gql";
import { Empty } from "../../ui/Answer";
import { words } from "../../ui/format";
import { Problem } from "../../ui/Problem";
import { WriteButton } from "../../ui/WriteButton";

const EVALUATE = graphql(`
	mutation Evaluate($input: EvaluateVersionInput!) {
		evaluateVersion(input: $input) {
			job {
				id
			}
		}
	}
`);

const JOB = graphql(`
	query EvaluationJob($id: ID!) {
		job(id: $id) {
			id
			status
			failure {
				message
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
	const job = useJob(evaluate.data?.evaluateVersion.job.id);
	const hasFailed = job?.status === "FAILED" || job?.status === "CANCELLED";
	const isUnderWay = evaluate.isPending || (evaluate.isSuccess && !hasFailed);
	return (
		<Empty>
			{children}{" "}
			{version.status === "READY" && (
				<WriteButton
					className="primary"
					disabled={isUnderWay}
					onClick={() => evaluate.mutate({ input: { versionId: version.id } })}
				>
					{isUnderWay ? "Evaluating" : "Evaluate"}
				</WriteButton>
			)}{" "}
			{evaluate.isSuccess && <Link to="/jobs">Jobs</Link>}
			{hasFailed && (
				<p role="alert" className="notice bad">
					The evaluation has {words(job.status)}
					{job.failure && `: ${job.failure.message}`}
				</p>
			)}
			{evaluate.error && <Problem error={evaluate.error} />}
		</Empty>
	);
}

/** A job as it is by now, once there is one. */
function useJob(id: string | undefined) {
	const { data, refetch } = useDocument(JOB, { id: id ?? "" }, { enabled: id !== undefined });
	const read = useCallback(
		(options: { cancelRefetch: boolean }) => (id === undefined ? Promise.resolve() : refetch(options)),
		[id, refetch],
	);
	useJobChanges(read);
	return id === undefined ? null : data?.job;
}

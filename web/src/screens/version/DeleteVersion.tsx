import { useNavigate } from "@tanstack/react-router";
import { useChange } from "../../api/queries";
import { graphql } from "../../gql";
import { Dialog } from "../../ui/Dialog";
import { Problem } from "../../ui/Problem";
import type { NamedVersion } from "./Version";

const DELETE = graphql(`
	mutation DeleteVersion($input: DeleteVersionInput!) {
		deleteVersion(input: $input) {
			deletedVersionId
		}
	}
`);

/** Deletes a version, once the reader is sure. */
export function DeleteVersion({ model, version, onClose }: NamedVersion & { onClose: () => void }) {
	const navigate = useNavigate();
	const remove = useChange(DELETE);
	const erase = async () => {
		await remove.mutateAsync({ input: { id: version.id } });
		await navigate({ to: "/models/$model", params: { model } });
	};
	return (
		<Dialog title={`Delete ${model}, version ${version.number}`} onClose={onClose}>
			<p>
				The version goes with its weights, vectors, evaluations and pictures, and cannot be restored. Its number is not
				used again.
			</p>
			{remove.error && <Problem error={remove.error} />}
			<p className="actions">
				<button type="button" disabled={remove.isPending} onClick={() => void erase().catch(() => {})}>
					Delete for good
				</button>
				<button type="button" onClick={onClose}>
					Cancel
				</button>
			</p>
		</Dialog>
	);
}

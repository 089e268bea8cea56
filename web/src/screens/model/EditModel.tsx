import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { useChange } from "../../api/queries";
import { graphql } from "../../gql";
import { Dialog } from "../../ui/Dialog";
import { Problem } from "../../ui/Problem";
import type { Model } from "./Model";

const UPDATE = graphql(`
	mutation UpdateModel($input: UpdateModelInput!) {
		updateModel(input: $input) {
			model {
				id
				name
			}
		}
	}
`);

const DELETE = graphql(`
	mutation DeleteModel($input: DeleteModelInput!) {
		deleteModel(input: $input) {
			model {
				id
			}
		}
	}
`);

/** Changes what a model is called and who sees it, or deletes it. */
export function EditModel({ model, onClose }: { model: Model; onClose: () => void }) {
	const [name, setName] = useState(model.name);
	const [description, setDescription] = useState(model.description);
	const [tags, setTags] = useState(model.tags.join(", "));
	const [visibility, setVisibility] = useState(model.visibility);
	const [isSure, setSure] = useState(false);
	const navigate = useNavigate();
	const update = useChange(UPDATE);
	const remove = useChange(DELETE);
	const save = async () => {
		const input = { id: model.id, name, description, tags: splitTags(tags), visibility };
		const { updateModel } = await update.mutateAsync({ input });
		onClose();
		const renamed = updateModel.model.name;
		if (renamed !== model.name) await navigate({ to: "/models/$model", params: { model: renamed }, replace: true });
	};
	const erase = async () => {
		await remove.mutateAsync({ input: { id: model.id } });
		await navigate({ to: "/" });
	};
	const error = update.error ?? remove.error;
	return (
		<Dialog title={`Edit ${model.name}`} onClose={onClose}>
			<form
				onSubmit={(event) => {
					event.preventDefault();
					// The error is shown below.
					void save().catch(() => {});
				}}
			>
				<label className="field">
					<span>Name</span>
					<input value={name} onChange={(event) => setName(event.target.value)} required maxLength={128} />
				</label>
				<label className="field">
					<span>Description</span>
					<textarea
						value={description}
						onChange={(event) => setDescription(event.target.value)}
						rows={4}
						maxLength={10_000}
					/>
				</label>
				<label className="field">
					<span>Tags, separated by commas</span>
					<input value={tags} onChange={(event) => setTags(event.target.value)} />
				</label>
				<label className="field">
					<span>Seen by</span>
					<select value={visibility} onChange={(event) => setVisibility(event.target.value as typeof visibility)}>
						<option value="PUBLIC">everyone</option>
						<option value="PRIVATE">its owner</option>
					</select>
				</label>
				{error && <Problem error={error} />}
				<p className="actions">
					<button type="submit" className="primary" disabled={update.isPending}>
						Save
					</button>
					<button type="button" onClick={onClose}>
						Cancel
					</button>
					<button
						type="button"
						onClick={() => (isSure ? void erase().catch(() => {}) : setSure(true))}
						disabled={remove.isPending}
					>
						{isSure ? `Yes, delete ${model.name}` : "Delete the model"}
					</button>
				</p>
				<p className="quiet">A deleted model can be restored from the library's list of deleted models.</p>
			</form>
		</Dialog>
	);
}

function splitTags(text: string): string[] {
	return text
		.split(",")
		.map((tag) => tag.trim())
		.filter((tag) => tag !== "");
}

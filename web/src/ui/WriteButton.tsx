import type { ButtonHTMLAttributes } from "react";
import { useDocument } from "../api/queries";
import { graphql } from "../gql";

const SCOPE = graphql(`
	query Scope {
		viewer {
			scope
		}
	}
`);

/** Why something cannot be done by who signed in to read. */
export const READ_ONLY = "Your token allows only reading.";

/** Whether the reader's token allows nothing else. Until it is known, the server refuses what is not allowed. */
export function useIsReadOnly(): boolean {
	return useDocument(SCOPE, {}).data?.viewer.scope === "READ";
}

/** A button for what changes the library, or leads to that. Who may only read sees why it cannot be pressed. */
export function WriteButton({ disabled = false, title, ...others }: ButtonHTMLAttributes<HTMLButtonElement>) {
	const isReadOnly = useIsReadOnly();
	return <button type="button" {...others} disabled={disabled || isReadOnly} title={isReadOnly ? READ_ONLY : title} />;
}

import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { signIn } from "../api/session";
import "./SignIn.css";

/** Asks for a token. */
export function SignIn() {
	const [token, setToken] = useState("");
	const signing = useMutation({ mutationFn: signIn });
	return (
		<form
			className="sign-in"
			aria-label="Sign in"
			onSubmit={(event) => {
				event.preventDefault();
				signing.mutate(token);
			}}
		>
			<label className="field">
				<span>Token</span>
				<input
					type="password"
					autoComplete="current-password"
					value={token}
					onChange={(event) => setToken(event.target.value)}
					required
				/>
			</label>
			<button type="submit" className="primary" disabled={signing.isPending}>
				Sign in
			</button>
			{signing.error && <p role="alert">{signing.error.message}</p>}
			<p className="quiet">
				An administrator makes a token with <code>scv token create NAME --scope write</code>.
			</p>
		</form>
	);
}
